"""Every parser in a process of its own, which is killed where one piece never ends."""

from __future__ import annotations

import json
import os
import select
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.measuring.cpu_time import cpu_seconds
from benchmarks.parsers.forms import CALLS
from benchmarks.parsers.texts import call_texts, thought_texts
from benchmarks.parsers.trial import Trial, tokenizer

LENGTHS = (1000, 4000, 16000)
WORST = (5, 2)  # texts of a parser that go on to the second and to the third length
ONCE = 0.1  # seconds; what takes longer is measured once
LONG = "one long argument"
HANGS = 30.0  # seconds of the processor without a word from a parser's process
LOOK = 2.0  # seconds between two looks at that


@dataclass
class Found:
    """One parser. `texts`: by what is long, for each length: `unpaced` and, for the longest, `paced` and `held`.

    `reads`: whether it finds a call in the form that is written for it here; `others`: its other names.
    """

    kind: str
    name: str
    reads: bool | None = None
    problem: str = ""
    others: list[str] = field(default_factory=list)
    texts: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


def names() -> list[tuple[str, str]]:
    """All that vLLM knows, as (kind, name)."""
    from vllm.reasoning import ReasoningParserManager
    from vllm.tool_parsers import ToolParserManager

    tools, thoughts = ToolParserManager.list_registered(), ReasoningParserManager.list_registered()
    return [*(("tool", name) for name in sorted(tools)), *(("reasoning", name) for name in sorted(thoughts))]


def measure(
    folder: Path, wanted: list[tuple[str, str]], jobs: int, minutes: float, say: Callable[[str], None]
) -> list[Found]:
    """All of them, `jobs` at once, but none is begun after so many minutes; what is one parser under several names only
    once."""
    tokens, until = tokenizer(folder), time.monotonic() + 60 * minutes
    found: dict[object, Found] = {}
    for kind, name in wanted:
        found.setdefault(_class_of(kind, name), Found(kind, name)).others.append(name)

    def tried(one: Found) -> None:
        one.others.remove(one.name)
        if time.monotonic() > until:
            one.problem = "not reached"
        else:
            _try_apart(tokens, one)
            say(f"{one.kind} {one.name}: {one.problem or worst_of(one)}")

    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(tried, found.values()))
    return list(found.values())


def _class_of(kind: str, name: str) -> object:
    """What vLLM knows by this name; the name itself where that cannot be imported here."""
    from vllm.reasoning import ReasoningParserManager
    from vllm.tool_parsers import ToolParserManager

    try:
        if kind == "tool":
            return ToolParserManager.get_tool_parser(name)
        return ReasoningParserManager.get_reasoning_parser(name)
    except Exception:
        return kind, name


def names_of(found: Found) -> str:
    """In Markdown."""
    return ", ".join(f"`{name}`" for name in (found.name, *found.others))


def worst_of(found: Found) -> str:
    """The text that takes longest, in words."""
    if not found.texts:
        return "nothing was measured"
    seconds = {text: cells[-1].get("unpaced", {}).get("seconds", 0.0) for text, cells in found.texts.items()}
    name = max(seconds, key=lambda text: float(seconds[text]))
    return f"{name}: {seconds[name]:.2f} s"


def _try_apart(tokens: Any, found: Found) -> None:
    """In a forked process: its results come as lines, and what it was doing when it was silent for too long."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        code = 1
        try:
            with os.fdopen(writing, "w") as out:
                _child(tokens, found.kind, found.name, lambda line: print(json.dumps(line), file=out, flush=True))
            code = 0
        finally:
            os._exit(code)
    os.close(writing)
    doing, spent = "", 0.0
    with os.fdopen(reading, "rb", buffering=0) as lines:  # a line that waits in a buffer would not be seen by select
        while True:
            ready, _, _ = select.select([lines], [], [], LOOK)
            if not ready:
                if cpu_seconds(child) < spent + HANGS:
                    continue
                found.problem = f"one piece took over {HANGS:g} s: {doing}"
                os.kill(child, signal.SIGKILL)
                break
            line = lines.readline()
            if not line:
                break
            said, spent = json.loads(line), cpu_seconds(child)
            doing = said.pop("doing", doing)
            _add(found, said)
    _, status = os.waitpid(child, 0)
    if status and not found.problem:
        found.problem = "its process ended before all was measured"


def _add(found: Found, said: dict[str, Any]) -> None:
    if "text" in said:
        found.texts.setdefault(said["text"], []).append(said["cell"])
    found.reads = said.get("reads", found.reads)
    found.problem = said.get("problem", found.problem)


def _child(tokens: Any, kind: str, name: str, tell: Callable[[dict[str, Any]], None]) -> None:
    if kind == "tool" and name not in CALLS:
        tell({"problem": "its form is not known here"})
        return
    try:
        trial = Trial(tokens, kind, name)
    except Exception as error:
        tell({"problem": f"not made: {str(error).splitlines()[0][:160]}"})
        return
    _measured(trial, kind, name, tell)


def _measured(trial: Trial, kind: str, name: str, tell: Callable[[dict[str, Any]], None]) -> None:
    """All texts at the least length; what took longest goes on to the next one."""
    wanted = list(_texts(kind, name, LENGTHS[0]))
    for length, most in zip(LENGTHS, (*WORST, 0), strict=True):
        texts, spent = _texts(kind, name, length), {}
        for text in wanted:
            tell({"doing": f"{text}, {length:,} characters"})
            cell = _cell(trial, texts[text], length, paced=length == LENGTHS[-1] and text == wanted[0])
            tell({"text": text, "cell": cell})
            if text == LONG and "unpaced" in cell:
                tell({"reads": cell["unpaced"]["calls"] > 0})
            spent[text] = cell.get("unpaced", {}).get("seconds", 0.0)
        wanted = sorted(spent, key=lambda one: -spent[one])[:most]


def _texts(kind: str, name: str, length: int) -> dict[str, str]:
    return call_texts(CALLS[name], length) if kind == "tool" else thought_texts(name, length)


def _cell(trial: Trial, written: str, length: int, paced: bool) -> dict[str, Any]:
    """Twice, the quicker one counts: the first time fills caches."""
    try:
        first = trial.unpaced(written)
        again = first if first.seconds > ONCE else trial.unpaced(written)
        cell: dict[str, Any] = {"length": length, "unpaced": asdict(min(first, again, key=lambda one: one.seconds))}
    except Exception as error:  # written for each model's text; the server hands on the rest as text
        return {"length": length, "raised": f"{type(error).__name__}: {error}"[:200]}
    if paced:
        cell["paced"] = asdict(trial.paced(written))
        cell["held"] = asdict(trial.held(written))
    return cell
