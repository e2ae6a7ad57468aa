"""Models by their name on a model hub: fetched once, then used as they were fetched."""

from __future__ import annotations

import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from trivet.errors import FailedPrecondition

PREFIX = "hub:"
_REFERENCE = re.compile(r"(?P<name>[\w.-]+(?:/[\w.-]+)?)(?:@(?P<revision>[\w./-]+))?")
_WANTED = ["*.json", "*.txt", "*.model", "*.safetensors", "*/pytorch_model.bin"]
_UNWANTED = ["onnx/*", "openvino/*", "*.onnx"]


@dataclass(frozen=True, slots=True)
class HubReference:
    """`hub:organisation/name`, with a branch, tag or commit behind an `@` where it matters which."""

    name: str
    revision: str | None

    @classmethod
    def parse(cls, text: str) -> HubReference:
        """Raises FailedPrecondition."""
        match = _REFERENCE.fullmatch(text.removeprefix(PREFIX))
        if match is None:
            raise FailedPrecondition(f"embedding model {text!r}: expected hub:organisation/name or …@revision")
        return cls(match["name"], match["revision"])

    @property
    def folder(self) -> str:
        """A folder's name for it."""
        return f"{self.name}@{self.revision or 'main'}".replace("/", "--")


def fetched(reference: HubReference, cache: Path) -> Path:
    """The model's folder below `cache`, fetched if it is not there; it appears whole or not at all (blocking).

    What is there is never looked for again, so a restart needs no network and gets no other model. Raises
    FailedPrecondition.
    """
    target = cache / reference.folder
    if target.is_dir():
        return target
    from huggingface_hub import snapshot_download

    cache.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=".fetch-", dir=cache))
    try:
        snapshot_download(
            reference.name,
            revision=reference.revision,
            local_dir=work,
            allow_patterns=_WANTED,
            ignore_patterns=_UNWANTED,
        )
        shutil.rmtree(work / ".cache", ignore_errors=True)  # the hub's own notes
        if not target.exists():  # else another process was faster
            work.rename(target)
    except Exception as error:  # the hub's client raises its own, its transport's and the file system's errors
        raise FailedPrecondition(
            f"embedding model {reference.name!r} cannot be fetched from the hub: {type(error).__name__}: {error}"
        ) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return target
