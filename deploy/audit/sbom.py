"""Write an environment's software bill of materials (CycloneDX JSON), with what wheels bundle and Debian packages.

Wheels carry compiled libraries of others in a folder `<name>.libs`, where the file's name often tells the version;
what is linked statically into an extension is not known here, except where the library itself can be asked.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
BUNDLED = re.compile(r"^(?P<name>lib[\w+.-]*?)-[0-9a-f]{8}(?:-[0-9a-f]{8})?\.so(?:\.(?P<version>[\d.]+))?$")
ASK = """
import json, platform, ssl, sqlite3, sysconfig
from importlib import metadata
found = {"CPython": platform.python_version(), "OpenSSL": ssl.OPENSSL_VERSION.split()[1]}
found["SQLite"] = sqlite3.sqlite_version
try:
    from pypdfium2 import version
    found["PDFium"] = str(version.PDFIUM_INFO).split("@")[0]
except ImportError:
    pass
try:
    from lxml import etree
    found["libxml2"] = ".".join(map(str, etree.LIBXML_VERSION))
    found["libxslt"] = ".".join(map(str, etree.LIBXSLT_VERSION))
except ImportError:
    pass
names = sorted({one.name for one in metadata.distributions()})
print(json.dumps({"linked": found, "folder": sysconfig.get_path("purelib"), "names": names}))
"""


def packages(python: str) -> dict[str, Any]:
    """The installed distributions as CycloneDX has them, licences included."""
    command = [sys.executable, "-m", "cyclonedx_py", "environment", "--pyproject", str(ROOT / "pyproject.toml")]
    done = subprocess.run(
        [*command, "--output-reproducible", "--of", "JSON", python], stdout=subprocess.PIPE, check=True
    )
    loaded: dict[str, Any] = json.loads(done.stdout)
    return loaded


def bundled(folder: Path) -> list[dict[str, Any]]:
    """The compiled libraries that wheels brought with them, one component each."""
    found = []
    for path in sorted(folder.glob("*.libs/*.so*")):
        match = BUNDLED.match(path.name)
        name, version = (match["name"], match["version"]) if match else (path.name.split(".so")[0], None)
        found.append(_component(name, version, f"bundled in {path.parent.name.removesuffix('.libs')}", str(path.name)))
    return found


def debian() -> list[dict[str, Any]]:
    """The system's packages, where it is a Debian; an image's contents, when this runs in one."""
    try:
        command = ["dpkg-query", "--show", "--showformat=${Package} ${Version} ${Architecture}\n"]
        listed = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout
    except (FileNotFoundError, subprocess.CalledProcessError):
        return []
    found = []
    for line in listed.splitlines():
        name, version, architecture = line.split()
        one = _component(name, version, "Debian package", f"{name}:{architecture}")
        found.append({**one, "purl": f"pkg:deb/debian/{name}@{version.replace(':', '%3A')}?arch={architecture}"})
    return found


def _component(name: str, version: str | None, origin: str, reference: str) -> dict[str, Any]:
    component: dict[str, Any] = {"type": "library", "bom-ref": f"{origin}: {reference}", "name": name}
    if version:
        component["version"] = version
    return {**component, "properties": [{"name": "trivet:origin", "value": origin}]}


def bill(python: str, *, with_debian: bool) -> dict[str, Any]:
    """The whole bill; ValueError if a distribution that is installed is missing in it."""
    asked = json.loads(subprocess.run([python, "-c", ASK], stdout=subprocess.PIPE, check=True).stdout)
    made = packages(python)
    names = {_normal(one["name"]) for one in made["components"]} | {_normal(made["metadata"]["component"]["name"])}
    missing = [name for name in asked["names"] if _normal(name) not in names]
    if missing:
        raise ValueError(f"installed, but not in the bill: {', '.join(missing)}")
    linked = [_component(name, version, "linked", name) for name, version in sorted(asked["linked"].items())]
    made["components"] += [*bundled(Path(asked["folder"])), *linked, *(debian() if with_debian else [])]
    return made


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    parser.add_argument("--python", default=sys.executable, help="the environment's interpreter")
    parser.add_argument("--no-debian", action="store_true", help="leave the system's packages out")
    options = parser.parse_args()
    try:
        made = bill(options.python, with_debian=not options.no_debian)
    except (subprocess.CalledProcessError, ValueError) as error:
        print(f"no bill of materials: {error}", file=sys.stderr)
        return 1
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
    print(f"{options.output}: {len(made['components'])} components")
    return 0


if __name__ == "__main__":
    sys.exit(main())
