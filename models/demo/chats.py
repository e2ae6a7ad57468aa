"""Write an adapter's chats as JSON lines, for `trivet adapter train`: what it learns from, and what it is scored on.

The same name gives the same files; they are large, made in seconds, and not in the repository. Held-out chats have
names (and, for tickets, phrasings) that the training ones never have.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import json_answers
import tickets
from trivet.training import Chat

DATA = Path(__file__).parent / "runs" / "data"
SEED = 41
HELD_OUT_SEED = 1_000_003
HELD_OUT = 600
EXAMPLES = """examples:
  python models/demo/chats.py json-answer && trivet adapter train models/demo/recipes/json-answer.yaml
  python models/demo/chats.py ticket-sorter ticket-sorter-2
"""


@dataclass(frozen=True)
class Data:
    """What a recipe of `recipes/` trains and is scored on; `count` training chats are what its steps take."""

    training: Iterator[Chat]
    count: int
    held_out: Iterator[Chat]


def make(name: str) -> Data:
    if name == "json-answer":
        return Data(json_answers.chats(SEED), 12_000, json_answers.held_out(HELD_OUT_SEED))
    few = tickets.FEW if name == "ticket-sorter" else None
    count = 4_500 if few else 18_000
    return Data(tickets.chats(SEED, few), count, tickets.held_out(HELD_OUT_SEED))


NAMES = ("json-answer", "ticket-sorter", "ticket-sorter-2")


def distinct(chats: Iterable[Chat]) -> Iterator[Chat]:
    """Without those that ask the same: they would count twice."""
    seen: set[str] = set()
    for chat in chats:
        asked = json.dumps(chat[:-1])
        if asked not in seen:
            seen.add(asked)
            yield chat


def write(path: Path, chats: Iterable[Chat]) -> int:
    """Write the file, whole or not at all; how many it has."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"messages": chat}, ensure_ascii=False) + "\n" for chat in chats]
    fresh = path.with_suffix(".new")
    fresh.write_text("".join(lines), encoding="utf-8")
    fresh.replace(path)
    return len(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="+", choices=NAMES, metavar="NAME", help=f"one or more of {', '.join(NAMES)}")
    parser.add_argument("--to", type=Path, default=DATA, help="the folder to write to (default runs/data beside this)")
    parser.add_argument("--count", type=int, help="training chats (default: what the recipe's steps take)")
    parser.add_argument("--held-out", type=int, default=HELD_OUT, help=f"held-out chats (default {HELD_OUT})")
    given = parser.parse_args()
    for name in given.names:
        data = make(name)
        training = write(given.to / f"{name}.jsonl", islice(data.training, given.count or data.count))
        held_out = write(given.to / f"{name}-held-out.jsonl", islice(distinct(data.held_out), given.held_out))
        print(f"{name}: {training} training chats, {held_out} held-out ones in {given.to}")


if __name__ == "__main__":
    main()
