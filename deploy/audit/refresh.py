"""Make `advisories.json` from an export of OSV: the archive of its ecosystem PyPI, or a folder of such records.

What is kept is what the audit needs: ids, packages, versions. The snapshot's date is that of the newest record in the
export, so that an old export cannot pass for a new one.
"""

from __future__ import annotations

import argparse
import json
import sys
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml
from packaging.utils import canonicalize_name

HERE = Path(__file__).parent
EXTRA = {"vllm"}  # not installed on a CPU


def records(source: Path) -> Iterator[dict[str, Any]]:
    """Every advisory of an archive or folder."""
    if source.is_dir():
        for path in sorted(source.rglob("*")):
            if path.suffix in (".json", ".yaml"):
                yield _record(path.name, path.read_bytes())
        return
    with zipfile.ZipFile(source) as archive:
        for name in sorted(archive.namelist()):
            if name.endswith((".json", ".yaml")):
                yield _record(name, archive.read(name))


def _record(name: str, content: bytes) -> dict[str, Any]:
    loaded = json.loads(content) if name.endswith(".json") else yaml.safe_load(content)
    if not isinstance(loaded, dict) or "id" not in loaded or "modified" not in loaded:
        raise ValueError(f"{name} is no advisory in OSV's form: `id` and `modified` are expected")
    return loaded


def kept(record: dict[str, Any], names: set[str]) -> dict[str, Any] | None:
    """The record without its texts and without other packages; None if it is about none of ours."""
    affected = [
        {"package": {"name": one["package"]["name"]}, "ranges": _ranges(one), "versions": one.get("versions", [])}
        for one in record.get("affected", [])
        if one.get("package", {}).get("ecosystem") == "PyPI" and canonicalize_name(one["package"]["name"]) in names
    ]
    if not affected or record.get("withdrawn"):
        return None
    return {"id": record["id"], "aliases": record.get("aliases", []), "affected": affected}


def _ranges(affected: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"type": one["type"], "events": one["events"]} for one in affected.get("ranges", []) if one["type"] != "GIT"
    ]


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("--output", type=Path, default=HERE / "advisories.json")
    options = parser.parse_args()
    names = {str(canonicalize_name(one.name)) for one in metadata.distributions()} | EXTRA
    newest, advisories = "", []
    for record in records(options.source):
        newest = max(newest, str(record["modified"])[:10])
        ours = kept(record, names)
        if ours is not None:
            advisories.append(ours)
    if not newest:
        print(f"{options.source}: no advisory in it", file=sys.stderr)
        return 1
    snapshot = {"taken": newest, "complete": True, "source": "OSV, ecosystem PyPI", "advisories": advisories}
    options.output.write_text(json.dumps(snapshot, indent=1) + "\n", encoding="utf-8")
    print(f"{len(advisories)} advisories about {len(names)} packages, newest of {newest}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
