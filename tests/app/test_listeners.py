"""An address that cannot be bound is named before anything is started."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from trivet.app.doors.listeners import check_addresses
from trivet.config import Overrides, load_config
from trivet.errors import FailedPrecondition

DEMO = Path(__file__).parents[2] / "trivet.yaml"


def test_free_addresses_are_left_free(tmp_path: Path) -> None:
    config = load_config(DEMO, Overrides("127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0", data_dir=tmp_path))
    check_addresses(config)
    check_addresses(config)


def test_all_taken_and_unknown_addresses_are_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        config = load_config(DEMO, Overrides(taken, "127.0.0.1:0", "no-such-host.invalid:0", data_dir=tmp_path))
        with pytest.raises(FailedPrecondition) as refused:
            check_addresses(config)
    first, second = str(refused.value).split("\n")
    assert first == f"server.listen: cannot listen on {taken}: Address already in use"
    assert second.startswith("server.metrics_listen: cannot listen on no-such-host.invalid:0: ")


def test_a_connection_that_is_closing_is_no_obstacle(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        client = socket.create_connection(address)
        accepted, _ = server.accept()
        accepted.close()
        client.close()
    check_addresses(
        load_config(DEMO, Overrides(f"127.0.0.1:{address[1]}", "127.0.0.1:0", "127.0.0.1:0", data_dir=tmp_path))
    )
