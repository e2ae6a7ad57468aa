"""Asks a whole suite as a process of its own, so that it can be killed: ADDRESS SUITE RESULTS."""

from __future__ import annotations

import sys
from pathlib import Path

from trivet.client import Client, Target
from trivet.evaluation.outcomes import OutcomeLog
from trivet.evaluation.runner import Runner, questions
from trivet.evaluation.suite import load_suite

if __name__ == "__main__":
    address, path, results = sys.argv[1:]
    suite = load_suite(Path(path))
    with Client(Target(address)) as client, OutcomeLog(Path(results)) as log:
        Runner(suite, "d", log, client).run([item for part in suite.parts for item in questions(part)], lambda: None)
