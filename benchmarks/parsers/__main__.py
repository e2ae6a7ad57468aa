"""vLLM's parsers of thoughts and tool calls at growing lengths: which take more than their share, and what pacing does.

    python -m benchmarks.parsers                           all that vLLM knows, some ten minutes of one core
    python -m benchmarks.parsers tool --only hermes xlam   some of them

How it is measured
- Each parser, as the server makes it, is given answers token by token: text, a call in the form that its model writes
  (one long argument, many arguments, many calls, one that never ends), brackets and backslashes in an argument, and
  the parser's own marks again and again. Its thread's processor time counts; of two runs the quicker one.
- All texts are tried at 1,000 characters, the five that took longest at 4,000, the two of these that took longest at
  16,000. Worse than linear is what takes over six times as long for four times the characters (a square would take 16
  times), and at least 50 ms. After two seconds for one answer it is not read on.
- Paced is the text that took longest at a token each 10 ms through `AnswerParser`, as in the server: after a piece
  that took over 1 ms the parser rests for nine times as long, and what comes meanwhile is one piece afterwards. Time
  is counted, not waited for. A piece of over 250 ms ends it: the rest of the answer is text.
- The same text comes on a real event loop at 4 tokens each millisecond, faster than any model writes: `held` is the
  longest that the loop itself read a piece, in processor time, and `late` how much too late a timer was served at
  worst. After a piece of 2 ms the answer is read in a thread, which shares the interpreter with the loop.
- The tokenizer has every mark of every parser as a token of its own.

What it does not show
- Texts that nobody thought of here: these are ways to be long, not proofs.
- Parsers of models whose tokenizer or package is wanting; they are listed.
- A gateway under load: what one answer's parser takes is taken from all streams of the process. Timers are also late
  where other processes have the cores.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks.measuring import machine
from benchmarks.measuring.method import method
from benchmarks.measuring.repository import ROOT
from benchmarks.parsers.report import report
from benchmarks.parsers.run import measure, names
from benchmarks.path.plan import progress_from_now


def main() -> int:
    """Measure and print the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", nargs="?", choices=("tool", "reasoning"), help="only these")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="only the parsers of these names")
    parser.add_argument("--minutes", type=float, default=60.0, help="begin with no parser after that (default: 60)")
    parser.add_argument("--jobs", type=int, default=1, help="parsers at once (default: 1)")
    given = parser.parse_args()
    described, progress = machine.describe(ROOT), progress_from_now()
    wanted = [
        (kind, name)
        for kind, name in names()
        if given.kind in (None, kind) and (given.only is None or name in given.only)
    ]
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), wanted, given.jobs, given.minutes, progress)
    print("\n".join([report(described, found), *method(__doc__), ""]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
