"""`python -m deploy.prometheus`: writes prometheusrule.yaml, the rules as the Prometheus Operator takes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
TARGET = HERE / "prometheusrule.yaml"
HEAD = "# Made from rules/*.yml by `python -m deploy.prometheus`: change them there.\n"


def prometheus_rule() -> dict[str, Any]:
    """All groups of rules/, recording rules first."""
    files = sorted((HERE / "rules").glob("*.yml"), key=lambda file: file.name != "recording.yml")
    groups = [group for file in files for group in yaml.safe_load(file.read_text())["groups"]]
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "trivet", "labels": {"app.kubernetes.io/name": "trivet"}},
        "spec": {"groups": groups},
    }


def rendered() -> str:
    """What prometheusrule.yaml has to be."""
    return HEAD + yaml.dump(prometheus_rule(), Dumper=_Dumper, sort_keys=False, width=4096)


class _Dumper(yaml.SafeDumper):
    """Expressions of several lines stay readable."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _text)

if __name__ == "__main__":
    TARGET.write_text(rendered())
