"""What a backup holds: `manifest.json`, written last."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from trivet.errors import FailedPrecondition

NAME = "manifest.json"
FORMAT = 1
_MOST_BYTES = 64 << 20
_MOST_FILES = 100_000

Report = Callable[[str, int, int], None]  # what is done now; bytes done; bytes in all


def _inside(path: str) -> str:
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\\" in path or "\0" in path:
        raise ValueError("expected a path inside the backup")
    return path


class BackedUpFile(BaseModel):
    """One file. `path` is relative, in the backup and in the data folder."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: Annotated[str, AfterValidator(_inside)]
    bytes: int = Field(ge=0)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class Manifest(BaseModel):
    """`trivet`: the version that made the backup. `schemas`: of each database, its PRAGMA user_version.

    `left_out`: what the data folder had and the backup has not, with the reason.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int
    trivet: str
    time: datetime
    schemas: dict[str, int]
    files: list[BackedUpFile] = Field(max_length=_MOST_FILES)
    left_out: list[str]

    @property
    def total_bytes(self) -> int:
        """Of all files."""
        return sum(file.bytes for file in self.files)

    @classmethod
    def read(cls, backup: Path) -> Manifest:
        """The manifest of a backup; FailedPrecondition if it is none that this version can read."""
        path = backup / NAME
        try:
            if path.stat().st_size > _MOST_BYTES:
                raise FailedPrecondition(
                    f"{path} has more than {_MOST_BYTES} bytes: it is not the manifest of a backup"
                )
            manifest = cls.model_validate_json(path.read_bytes())
        except FileNotFoundError as error:
            raise FailedPrecondition(
                f"{backup} is not a whole backup: it has no {path.name}, which is written last. Was it interrupted? "
                "Make another one, or restore an older one"
            ) from error
        except OSError as error:
            raise FailedPrecondition(f"{backup} is not a whole backup: {path.name}: {error.strerror}") from error
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise FailedPrecondition(f"{path} is not the manifest of a backup: {where}: {first['msg']}") from error
        if manifest.format != FORMAT:
            raise FailedPrecondition(
                f"{path} has format {manifest.format}, this version of Trivet reads {FORMAT}: use the version that "
                f"made it, {manifest.trivet}"
            )
        return manifest
