"""A pattern out of an adapter's configuration, tried on names in a process of its own.

A pattern may be made to take for ever, Python's `re` knows no limit of time, and while it works no other thread does.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence

from trivet.errors import AdapterRejected, AdapterSourceUnavailable
from trivet.excerpt import quote_masked

CPU_SECONDS = 1
MEMORY_BYTES = 1 << 29
WALL_SECONDS = 60.0
_CHILD = """
import json, re, resource, sys
pattern, names, seconds, memory = json.load(sys.stdin)
resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
try:
    compiled = re.compile(pattern)
except Exception as problem:
    print(json.dumps(str(problem)))
else:
    print(json.dumps([name for name in names if compiled.fullmatch(name)]))
"""


def fitting(pattern: str, names: Sequence[str]) -> set[str]:
    """The names that the whole pattern fits; blocks for some 0.1 s.

    Raises AdapterRejected if it is no pattern or takes more than CPU_SECONDS or MEMORY_BYTES, AdapterSourceUnavailable
    if the machine is too busy to tell.
    """
    command = [sys.executable, "-I", "-S", "-c", _CHILD]
    question = json.dumps([pattern, list(names), CPU_SECONDS, MEMORY_BYTES])
    try:
        done = subprocess.run(command, input=question, capture_output=True, text=True, timeout=WALL_SECONDS)
    except subprocess.TimeoutExpired as problem:
        raise AdapterSourceUnavailable("a pattern of modules could not be tried in time") from problem
    if done.returncode:
        raise AdapterRejected(
            f"is {quote_masked(pattern)}, a pattern that takes more than {CPU_SECONDS} s or too much memory"
        )
    answer: str | list[str] = json.loads(done.stdout)
    if isinstance(answer, str):
        raise AdapterRejected(f"is {quote_masked(pattern)}, expected names or a pattern: {answer}")
    return set(answer)
