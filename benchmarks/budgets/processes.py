"""Gateways in processes of their own over one store, whose clients use up a limit."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from benchmarks.measuring.tiny_llama import make_model
from tests.support.gateway.spending import use_up
from tests.support.stores import budget_spender
from trivet.cli.server.process import ServerProcess
from trivet.client import Client
from trivet.stores.state import StateStore
from trivet.types.budget import Limit, Owner, Period, Unit
from trivet.types.request import PUBLIC_TENANT

UNITS = ("requests", "tokens", "usd")
MOST = {"requests": 100, "tokens": 15_000, "usd": 0.0005}
SPENT = {"requests": 150, "tokens": 60_000, "usd": 400_000}  # by the processes without servers; nano-USD
PRICES = {"input_per_million_tokens": 0.04, "cached_per_million_tokens": 0.01, "output_per_million_tokens": 0.08}
TOLD = 3.0  # seconds after which the store knows all


@dataclass(frozen=True, slots=True)
class Used:
    """`share` of the limit; `beyond`: in requests of the largest size that there was. `refusals_cost`: what the store
    has counted beside the answered requests, and what receipts of refused ones say."""

    share: float
    beyond: float
    answered: int
    refused: int | None
    refusals_cost: int


def spenders(place: Path, unit: str) -> Used:
    """Two processes with four clients each, over one SQLite file."""
    StateStore.open(place).close()
    most = SPENT[unit]
    command = [sys.executable, str(Path(budget_spender.__file__)), str(place), unit, str(most), "4"]
    workers = [
        subprocess.Popen([*command, str(10 * number)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for number in range(2)
    ]
    for worker in workers:  # both begin when both are ready
        assert worker.stdout is not None
        worker.stdout.readline()
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write(b"\n")
        worker.stdin.flush()
    used = [amount for worker in workers for amount in json.loads(worker.communicate()[0])]
    limit = budget_spender.limit(Unit(unit), most)
    return _used(used, most, None, asyncio.run(_counted(place, limit)) - sum(used))


class Servers:
    """Two gateways over one database, which take up another limit each time."""

    def __init__(self, folder: Path, url: str, servers: list[ServerProcess]) -> None:
        self._folder = folder
        self._url = url
        self._servers = servers
        self._times = 0

    def use_up(self, unit: str) -> Used:
        """A limit of its own: what was used before is added to it."""
        limit = Limit(Owner.TENANT, PUBLIC_TENANT, Period.MONTH, Unit(unit), 1)
        before = asyncio.run(_counted(self._url, limit))
        nano = round(MOST[unit] * 1e9) if unit == "usd" else MOST[unit]
        most = before + nano
        self._limit({"budgets": {"default": [{"per": "month", unit: most / 1e9 if unit == "usd" else most}]}})
        spent = use_up([server.target for server in self._servers], "ask", 8)
        self._limit({})
        time.sleep(TOLD)
        used = {"requests": [1] * len(spent.answered), "tokens": spent.tokens, "usd": spent.nano_usd}[unit]
        receipts = [failed.receipt for failed in spent.refused if failed.receipt is not None]
        said = sum(receipt.cost.total + receipt.output_tokens for receipt in receipts)
        counted = asyncio.run(_counted(self._url, limit)) - before
        return _used(used, int(nano), len(receipts), abs(counted - sum(used)) + said)

    def _limit(self, budgets: dict[str, object]) -> None:
        path = self._folder / "trivet.yaml"
        config = yaml.safe_load(path.read_text())
        config.pop("budgets", None)
        path.write_text(yaml.safe_dump({**config, **budgets}))
        for server in self._servers:
            with Client(server.target, timeout=60) as client:
                client.reload_routes()


@contextmanager
def served(folder: Path, database: Callable[[], str]) -> Iterator[Servers]:
    """Two whole servers whose engines alone are scripted."""
    make_model(folder / "model", ["a text of a few words " * 50], 1024)
    (folder / "prompts" / "p").mkdir(parents=True)
    (folder / "prompts" / "p" / "1.md").write_text("Answer the question. " * 8)
    url = database()
    variant = {"weight": 1, "backend": "local", "prompt": "p@1", "sampling": {"max_tokens": 8}}
    (folder / "trivet.yaml").write_text(yaml.safe_dump({
        "version": 1,
        "state": {"url": url},
        "backends": {"local": {"kind": "embedded", "model": "model", "enable_lora": False}},
        "prices": {"local": PRICES},
        "routes": {"ask": {"variants": {"only": variant}}},
    }))  # fmt: skip
    with ExitStack() as stack:
        servers = [
            stack.enter_context(
                ServerProcess(
                    folder / "trivet.yaml", folder / f"data{number}", module=("tests.support.gateway.scripted_gateway",)
                )
            )
            for number in range(2)
        ]
        yield Servers(folder, url, servers)


async def _counted(place: Path | str, limit: Limit) -> int:
    store = StateStore.open(place)
    used, _ = await store.budget_usage(limit.id, Period.MONTH.window(await store.now())[0])
    store.close()
    return used


def _used(used: list[int], most: int, refused: int | None, refusals_cost: int) -> Used:
    beyond = max(0, sum(used) - most) / max(used)
    return Used(sum(used) / most, beyond, len(used), refused, refusals_cost)
