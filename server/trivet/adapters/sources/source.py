"""Where adapters come from: `<root>/<name>/<version>/`, and nothing outside a root."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import partial

from trivet.adapters.preflight.manifest import FILE as MANIFEST
from trivet.adapters.preflight.preflight import FILES
from trivet.adapters.sources.folder import FolderRoot, SingleFolder
from trivet.adapters.sources.hub_root import HubRoot
from trivet.adapters.sources.listing import Listing
from trivet.adapters.sources.remote_root import RemoteRoot
from trivet.adapters.sources.source_file import AdapterRoot, FoundAdapter, SourceBroken
from trivet.errors import AdapterRejected, AdapterSourceUnavailable, NotFound
from trivet.types.adapter import AdapterLocation, FolderAdapter, HubAdapter, RemoteLocation
from trivet.types.variant import VersionRef

WEIGHTS = FILES[-1]
MAX_TEXT_BYTES = 1 << 20
MAX_BESIDE_BYTES = 64 << 20
RETRY_AFTER = 5.0
# What trainers leave where no safetensors file of an adapter is, and what to do about it.
INSTEAD = {
    "adapter_model.bin": "it is a pickle, which is never read: save the adapter again with PEFT's "
    "save_pretrained(..., safe_serialization=True)",
    "adapter_model.safetensors.index.json": "the weights are in several files: save them as one, with a larger "
    "max_shard_size",
    "model.safetensors": "that is a whole model: name it as a backend's model, or save the adapter alone",
    "pytorch_model.bin": "that is a whole model, and a pickle: save the adapter alone, as safetensors",
}
_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class AdapterSource:
    """The allowed roots, first one first."""

    def __init__(self, roots: Sequence[AdapterLocation], max_bytes: int, beside: Sequence[str] = ()) -> None:
        """`beside`: further files that are taken along where they are there."""
        self._places = tuple(roots)
        self._roots: list[AdapterRoot] = [open_root(root) for root in roots]
        self._listings = [
            Listing(partial(_list, root)) if isinstance(root, RemoteRoot) else partial(_list, root)
            for root in self._roots
        ]
        self._max_bytes = max_bytes
        self._beside = tuple(beside)

    def find(self, ref: VersionRef) -> FoundAdapter:
        """The adapter's files: all three, or PEFT's two of one that has an origin; blocks.

        What else is there, such as a trainer's state, is not looked at. Raises NotFound; AdapterRejected for a link
        out of the root, a file that is missing or a size that is out of bounds; AdapterSourceUnavailable if a place
        that may have it cannot be read.
        """
        for part in (ref.name, ref.version):
            if not _SAFE_NAME.fullmatch(part):
                raise AdapterRejected(
                    f"adapter {ref}: {part!r} is not a name: expected letters, digits, '.', '_' and '-'"
                )
        try:
            for root in self._roots:
                found = root.find(ref, (*FILES, *self._beside))
                if found is not None:
                    if WEIGHTS not in found.files:
                        _refuse_without_weights(root.find(ref, tuple(INSTEAD)))
                    return self._checked(found)
        except AdapterRejected as problem:
            raise AdapterRejected(f"adapter {ref}: {problem}") from problem
        except SourceBroken as problem:
            raise AdapterSourceUnavailable(f"adapter {ref}: {problem}", RETRY_AFTER) from problem
        raise NotFound(
            f"adapter {ref}: not found: `adapters` in the configuration names {len(self._roots)} "
            f"{'place' if len(self._roots) == 1 else 'places'}, expected {ref.name}/{ref.version} in one of them"
        )

    def fingerprint(self, ref: VersionRef) -> str:
        """What tells, without reading an adapter's files, that they may be others by now; blocks.

        Raises AdapterSourceUnavailable if a place that may have it cannot be read.
        """
        try:
            files = self.find(ref).files
        except (AdapterRejected, NotFound) as problem:
            return f"{type(problem).__name__} {problem}"
        return repr(sorted((file.name, file.size, file.tag, file.stamp) for file in files.values()))

    def pin(self, ref: VersionRef) -> str | None:
        """Where in a hub it is, if it is from one: a copy made of that is as good as the hub. Does not block."""
        pins = (str(place) for place in self._places if isinstance(place, HubAdapter) and place.ref == ref)
        return next(pins, None)

    def list(self) -> Iterator[VersionRef]:
        """Every adapter version that is there, checked or not.

        Does not wait for a network: of other places than local folders it tells what the last listing had, and has
        them listed again, beside, if that is some seconds old.
        """
        for listing in self._listings:
            yield from listing()

    def limit(self, name: str) -> int:
        """The largest allowed size of a file, in bytes."""
        if name == WEIGHTS:
            return self._max_bytes
        return MAX_TEXT_BYTES if name in FILES else MAX_BESIDE_BYTES

    def _checked(self, found: FoundAdapter) -> FoundAdapter:
        wanted = FILES[1:] if found.origin else FILES
        for name in wanted:
            if name not in found.files:
                raise AdapterRejected(_missing(name))
        taken = (*wanted, *(name for name in self._beside if name in found.files))
        for name in taken:
            size, limit = found.files[name].size, self.limit(name)
            if not 0 < size <= limit:
                raise AdapterRejected(f"{name} has {size} bytes, expected 1 to {limit}")
        return FoundAdapter({name: found.files[name] for name in taken}, found.origin)


def _missing(name: str) -> str:
    text = f"{name} is missing, expected {', '.join(FILES)}"
    return f"{text}; `trivet adapter import` makes it for what a trainer wrote" if name == MANIFEST else text


def _list(root: AdapterRoot) -> list[VersionRef]:
    """What has a name that can be loaded."""
    return [ref for ref in root.list() if _SAFE_NAME.fullmatch(ref.name) and _SAFE_NAME.fullmatch(ref.version)]


def _refuse_without_weights(found: FoundAdapter | None) -> None:
    for name, advice in INSTEAD.items():
        if found is not None and name in found.files:
            raise AdapterRejected(f"{WEIGHTS} is missing, and there is {name}: {advice}")


def open_root(place: AdapterLocation) -> AdapterRoot:
    """The place that a setting means; nothing is read yet."""
    if isinstance(place, RemoteLocation):
        return RemoteRoot(place)
    if isinstance(place, HubAdapter):
        return HubRoot(place)
    if isinstance(place, FolderAdapter):
        return SingleFolder(place)
    return FolderRoot(place)
