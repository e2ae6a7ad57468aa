"""What can be told of a project's files without starting anything."""

from trivet.app.project.check import Findings, check_project, read_checked
from trivet.app.project.comparison import CacheChange, PromptComparison, compare
from trivet.app.project.rendering import Rendered, render
from trivet.app.project.review import PromptReview, PromptReviewer

__all__ = [
    "CacheChange",
    "Findings",
    "PromptComparison",
    "PromptReview",
    "PromptReviewer",
    "Rendered",
    "check_project",
    "compare",
    "read_checked",
    "render",
]
