"""The environment variables that Trivet reads. Nothing else in the package reads any."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields

from trivet.config.wording import meant
from trivet.errors import ConfigError

PREFIX = "TRIVET_"
# Kubernetes gives every container variables for each Service of its namespace. For one called `trivet` (or
# `trivet-admin`, ...) they begin with our prefix, and mean nothing to us. Their values are of these forms.
_KUBERNETES = re.compile(
    r"""TRIVET_(?:[A-Z0-9]+_)*(?:
        SERVICE_HOST=[^=\s]+
        | SERVICE_PORT(?:_[A-Z0-9_]+)?=[0-9]+
        | PORT(?:_[0-9]+_(?:TCP|UDP|SCTP))?=(?:tcp|udp|sctp)://\S+
        | PORT_[0-9]+_(?:TCP|UDP|SCTP)_(?:PROTO=(?:tcp|udp|sctp)|PORT=[0-9]+|ADDR=\S+)
    )""",
    re.VERBOSE,
)


def variable(name: str) -> str | None:
    """One whose name the configuration gives; None if it is not set, or empty."""
    return os.environ.get(name) or None


@dataclass(frozen=True, slots=True)
class Environment:
    """`TRIVET_CONFIG`, `TRIVET_ADDRESS`, ...: the field's name in capitals behind the prefix. None: not set."""

    config: str | None = None
    listen: str | None = None
    admin_listen: str | None = None
    metrics_listen: str | None = None
    http_listen: str | None = None
    log_format: str | None = None
    data_dir: str | None = None
    address: str | None = None
    admin_address: str | None = None
    key: str | None = None
    state_password: str | None = None
    ca_file: str | None = None
    engine_config: str | None = None

    @classmethod
    def read(cls, variables: Mapping[str, str] | None = None) -> Environment:
        """Read them; ConfigError names those that begin with the prefix and mean nothing."""
        source = os.environ if variables is None else variables
        ours = {
            name: value
            for name, value in source.items()
            if name.startswith(PREFIX) and value and not _KUBERNETES.fullmatch(f"{name}={value}")
        }
        known = {PREFIX + item.name.upper(): item.name for item in fields(cls)}
        unknown = sorted(set(ours) - set(known))
        if unknown:
            raise ConfigError([f"environment: {name}: unknown variable{meant(name, list(known))}" for name in unknown])
        return cls(**{known[name]: value for name, value in ours.items()})
