"""What can be told of a project's files without starting anything."""

from trivet.app.project.check import Findings, check_project, read_checked
from trivet.app.project.rendering import Rendered, render

__all__ = ["Findings", "Rendered", "check_project", "read_checked", "render"]
