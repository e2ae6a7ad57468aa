"""What an examination of a data folder has found."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong. `where`: a file or folder; `means`: what comes of it; `remedy`: what repairs it."""

    where: str
    what: str
    means: str
    remedy: str


@dataclass(slots=True)
class Diagnosis:
    """All that was found. `notes`: worth knowing, nothing is wrong. `server_pid`: of the process that owns the folder,
    0 if none does; then also what only an owner may look at was examined."""

    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    server_pid: int = 0

    def add(self, where: object, what: str, means: str, remedy: str) -> None:
        """Something is wrong."""
        self.findings.append(Finding(str(where), what, means, remedy))
