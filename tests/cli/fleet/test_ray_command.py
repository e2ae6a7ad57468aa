"""What `trivet ray` and `trivet engine` refuse before they start or place anything."""

from __future__ import annotations

import json
import sys

import pytest
from click.testing import CliRunner, Result

from trivet.cli.main import main


def run(*words: str) -> Result:
    return CliRunner().invoke(main, words)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["1", "--config", "engine.yaml"], "expected a path from the root"),
        (["1", "--data-dir", "state"], "expected a path from the root"),
        (["1", "--resource", "gpu"], "'gpu': expected NAME=AMOUNT"),
        (["1", "--resource", "=1"], "'=1': expected NAME=AMOUNT"),
        (["1", "--resource", "slot=0"], "an amount above 0"),
        (["1", "--resource", "slot=nan"], "an amount above 0"),
        (["1", "--cpus", "0"], "an engine needs some of --cpus, --gpus or --resource"),
        (["-1"], "No such option"),
        (["5000"], "is not in the range"),
    ],
)
def test_what_cannot_be_placed_is_wrong_usage(words: list[str], told: str) -> None:
    refused = run("ray", "scale", *words)
    assert refused.exit_code == 2
    assert told in refused.stderr


@pytest.mark.parametrize("words", [["ls"], ["scale", "1"]])
def test_without_ray_it_says_what_to_install(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    refused = run("ray", *words, "--json")
    assert refused.exit_code == 1
    assert "the extra `ray`" in str(json.loads(refused.stderr)["error"])


def test_a_node_has_a_name_as_the_configuration_has_them() -> None:
    refused = run("engine", "--name", "GPU 1")
    assert refused.exit_code == 2
    assert "expected a name: up to 63" in refused.stderr
