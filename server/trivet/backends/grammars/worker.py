"""`python -m trivet.backends.grammars.worker --vocabulary FILE ...`: tries schemas out, one at a time.

A line of JSON in (`{"schema": text}`), a line of JSON out (`{"outcome", "refusal", "memory_bytes"}`), after one that
says that it is ready. It limits its own memory once, and its CPU time for each schema anew; the kernel ends it where it
goes beyond the time, with SIGPROF. It ends with its parent, and with its input.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import sys
from pathlib import Path

from trivet.backends.grammars.compiler import DeadEnd, GrammarTrial
from trivet.backends.grammars.verdict import Outcome
from trivet.vector.lifeline import die_with_parent

_NICENESS = 10
_MOST_SAID = 300  # characters of the compiler's own words
_MOST_WARNED = 1 << 20  # bytes
_LOG = "Warning: "


class CompilerLog:
    """What the compiler writes to standard error: it warns of what it passes over, and goes on."""

    def __init__(self) -> None:
        self._descriptor = os.memfd_create("warnings")
        os.dup2(self._descriptor, 2)

    def clear(self) -> None:
        """Forget what was written so far."""
        os.ftruncate(self._descriptor, 0)
        os.lseek(self._descriptor, 0, os.SEEK_SET)

    def warning(self) -> str:
        """The first warning, empty if there is none."""
        _, found, text = os.pread(self._descriptor, 4096, 0).decode(errors="replace").partition(_LOG)
        return text.split("\n", 1)[0] if found else ""


def main() -> None:
    """Limit this process, load the compiler, answer until the input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--vocabulary", type=Path, required=True)
    parser.add_argument("--cpu-seconds", type=float, required=True)
    parser.add_argument("--step-seconds", type=float, required=True)
    parser.add_argument("--memory-bytes", type=int, required=True)
    options = parser.parse_args()
    die_with_parent()
    os.nice(_NICENESS)
    trial = GrammarTrial(options.vocabulary.read_text(encoding="utf-8"))
    log = CompilerLog()
    _limit(options.memory_bytes)
    _say({"ready": True})
    for line in sys.stdin:
        signal.setitimer(signal.ITIMER_PROF, options.cpu_seconds)
        try:
            answer = _try(trial, log, json.loads(line)["schema"], options.cpu_seconds, options.step_seconds)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        _say(answer)


def _try(
    trial: GrammarTrial, log: CompilerLog, schema: str, cpu_seconds: float, step_seconds: float
) -> dict[str, object]:
    log.clear()
    try:
        grammar = trial.compile(schema)
        signal.setitimer(signal.ITIMER_PROF, cpu_seconds)  # as much again, which only what is slow needs
        step = trial.seconds_a_step(grammar)
    except MemoryError:
        return _answer(Outcome.TOO_LARGE, "compiling it takes too much memory")
    except DeadEnd:
        return _answer(Outcome.REFUSED, "no value can fulfil it")
    except Exception as error:
        said = str(error).strip().splitlines()[-1:] or [type(error).__name__]
        if "bad_alloc" in said[0]:
            return _answer(Outcome.TOO_LARGE, "compiling it takes too much memory")
        return _answer(Outcome.REFUSED, said[0].rpartition(".cc:")[2].partition(": ")[2] or said[0])
    warning = log.warning()
    if warning:
        return _answer(Outcome.REFUSED, warning)
    if step > step_seconds:
        told = f"a token of it takes {step * 1000:.1f} ms of CPU time, expected at most {step_seconds * 1000:g}"
        return _answer(Outcome.TOO_SLOW, told)
    return {**_answer(Outcome.ACCEPTED, ""), "memory_bytes": int(grammar.memory_size_bytes())}


def _answer(outcome: Outcome, refusal: str) -> dict[str, object]:
    return {"outcome": outcome.value, "refusal": refusal[:_MOST_SAID], "memory_bytes": 0}


def _say(answer: dict[str, object]) -> None:
    os.write(1, json.dumps(answer).encode() + b"\n")


def _limit(memory_bytes: int) -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + memory_bytes
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_MOST_WARNED, _MOST_WARNED))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)


if __name__ == "__main__":
    main()
