"""Staging: an adapter's own immutable copy, since the engine may read it again at any time.

The copy is what is checked, so the bytes that the engine reads are those that passed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from trivet.adapters.conversion.conversion import convert
from trivet.adapters.preflight.base_model import BaseModel
from trivet.adapters.preflight.manifest import FILE as MANIFEST
from trivet.adapters.preflight.manifest import read_manifest
from trivet.adapters.preflight.preflight import FILES, check, digest
from trivet.adapters.settings import AdapterSettings
from trivet.adapters.sources.fetcher import AdapterFetcher, partial_of
from trivet.adapters.sources.source import AdapterSource
from trivet.adapters.staging.disk import remove, size_of, sync
from trivet.errors import AdapterRejected, AdapterSourceUnavailable, NotFound
from trivet.types.adapter import FetchProgress, StagedAdapter, engine_name
from trivet.types.variant import VersionRef

UNFINISHED = ".tmp-"


class AdapterStaging:
    """Copies below the staging folder, each in `name@version#digest12/`. Every method blocks."""

    def __init__(self, settings: AdapterSettings) -> None:
        self._folder = settings.staging
        self._max_rank = settings.max_rank
        self._to_merge = settings.to_merge
        self._source = AdapterSource(settings.roots, settings.max_bytes, settings.beside)
        self._fetching = AdapterFetcher(self._source, settings.staging, settings.fetch_seconds)
        self._base = BaseModel(settings.base_model)

    def stage(self, ref: VersionRef) -> StagedAdapter:
        """Copy it, check the copy and give that its final name. What a hub has is asked for once.

        Raises NotFound, AdapterRejected, and AdapterSourceUnavailable if it may work later; the next attempt goes on
        where a download broke off.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._fetching.alone(ref):
            if kept := self._pinned(ref):
                with suppress(AdapterRejected):  # described for another base, say: made again from what the hub has
                    return self._recheck(kept)
            while True:
                copy = self._folder / f"{UNFINISHED}{uuid4().hex}"
                copy.mkdir()
                resumed = False
                try:
                    fetched = self._fetching.fetch(ref, copy)
                    resumed = fetched.resumed
                    return self._checked(ref, copy, fetched.origin)
                except AdapterRejected:
                    # What was on the disk since a power cut may not be what had been written: once more, from nothing.
                    if not resumed:
                        raise
                finally:
                    remove(copy)

    def _checked(self, ref: VersionRef, copy: Path, origin: Mapping[str, str]) -> StagedAdapter:
        try:
            if origin:
                convert(copy, ref, self._base, origin)
            checked = check(copy, ref, self._base, self._max_rank, to_merge=self._to_merge)
        except AdapterRejected as problem:
            raise AdapterRejected(f"adapter {ref}: {problem}") from problem
        final = self._folder / engine_name(ref, checked.digest)
        staged = StagedAdapter(ref, checked.digest, checked.rank, final, checked.invocation)
        # What has an origin gets here only if there was no copy, or none that describes it for this base.
        if origin or not (final.is_dir() and self.is_sound(staged)):
            remove(final)
            _publish(copy, final)
        return staged

    def restore(self, ref: VersionRef, digest: str) -> StagedAdapter:
        """The copy with these bytes, checked anew, for the base model or the limits may be others by now.

        A copy that is damaged or missing is staged again. Raises what `stage` does, and AdapterRejected if the source
        has other bytes by now.
        """
        copy = StagedAdapter(ref, digest, 0, self._folder / engine_name(ref, digest))
        if self.is_sound(copy):
            return self._recheck(copy)
        staged = self.stage(ref)
        if staged.digest != digest:
            self.discard(staged)
            raise AdapterRejected(
                f"adapter {ref}: its copy is gone or damaged, and the source now has digest {staged.digest[:12]}, "
                f"expected {digest[:12]}"
            )
        return staged

    def _recheck(self, copy: StagedAdapter) -> StagedAdapter:
        """A sound copy, against the base model and the limits of today."""
        try:
            checked = check(copy.path, copy.ref, self._base, self._max_rank, to_merge=self._to_merge)
        except AdapterRejected as problem:
            raise AdapterRejected(f"adapter {copy.ref}: {problem}") from problem
        return StagedAdapter(copy.ref, checked.digest, checked.rank, copy.path, checked.invocation)

    def _pinned(self, ref: VersionRef) -> StagedAdapter | None:
        """The sound copy of what the hub was asked for before, with the same words."""
        pin = self._source.pin(ref)
        for path in self._copies() if pin else ():
            if path.name.partition("#")[0] != str(ref):
                continue
            try:
                manifest = read_manifest(path / MANIFEST, ref)
            except (AdapterRejected, OSError):
                continue
            copy = StagedAdapter(ref, manifest.digest, manifest.rank, path, manifest.invocation)
            if manifest.source.get("hub") == pin and self.is_sound(copy):
                return copy
        return None

    def is_sound(self, staged: StagedAdapter) -> bool:
        """Whether the copy still has the bytes that were checked."""
        try:
            return self._digest({name: staged.path / name for name in FILES}) == staged.digest
        except OSError:
            return False

    def source_digest(self, ref: VersionRef) -> str | None:
        """The digest of what the source has now, of a distant one as its manifest says; None if it cannot be read."""
        try:
            return self._fetching.digest(ref)
        except (AdapterRejected, AdapterSourceUnavailable, NotFound):
            return None

    def fingerprint(self, ref: VersionRef) -> str:
        """What tells, without reading an adapter's files, that the source's may be others by now.

        Raises AdapterSourceUnavailable.
        """
        return self._fetching.fingerprint(ref)

    def forget_download(self, ref: VersionRef) -> None:
        """Delete what a download that broke off left behind."""
        self._fetching.forget(ref)

    def bytes_of(self, engine_names: Collection[str]) -> dict[str, int]:
        """Bytes of the copies that there are, of those named."""
        copies = {path.name: path for path in self._copies()}
        return {name: size_of(copies[name]) for name in engine_names if name in copies}

    def progress(self, ref: VersionRef) -> FetchProgress | None:
        """How far its copying is; None if it is not being copied. Does not block."""
        return self._fetching.progress(ref)

    def stop(self) -> None:
        """End all downloads that are under way; they fail with AdapterSourceUnavailable. Does not block."""
        self._fetching.stop()

    def known(self) -> list[VersionRef]:
        """Every adapter version that the source has, checked or not. Does not wait for a network."""
        return list(self._source.list())

    def discard(self, staged: StagedAdapter) -> None:
        """Delete a copy that nothing uses any more."""
        remove(staged.path)

    def sweep(self, keep: Collection[VersionRef], engine_names: Collection[str] = ()) -> None:
        """Delete what a crash left half-written, and all copies but those of `keep` and those named."""
        names = {str(ref) for ref in keep}
        for path in self._copies():
            begun = partial_of(path) in {*names, *(name.partition("#")[0] for name in engine_names)}
            unfinished = path.name.startswith(UNFINISHED)
            if unfinished or not (begun or path.name in engine_names or path.name.partition("#")[0] in names):
                remove(path)

    def prune(self, ref: VersionRef, keep: StagedAdapter | None = None) -> None:
        """Delete the copies of an adapter that nothing uses any more: all but the one to keep."""
        for path in self._copies():
            if path.name.partition("#")[0] == str(ref) and not (keep and path == keep.path):
                remove(path)

    def _copies(self) -> list[Path]:
        return list(self._folder.iterdir()) if self._folder.is_dir() else []

    @staticmethod
    def _digest(files: Mapping[str, Path]) -> str:
        _, config, tensors = (files[name] for name in FILES)
        return digest(config, tensors)


def _publish(copy: Path, final: Path) -> None:
    sync(copy)
    copy.rename(final)
    final.chmod(0o500)
    sync(final.parent)
