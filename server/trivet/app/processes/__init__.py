"""One server of several processes: front ends that share ports and engines, and the parent that keeps them running."""

from trivet.app.processes.front_ends import FrontEnd, front_end_config
from trivet.app.processes.parent import Commands, ProcessesServer

__all__ = ["Commands", "FrontEnd", "ProcessesServer", "front_end_config"]
