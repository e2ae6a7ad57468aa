"""Candidates of a prompt, each a route of one server, and what they answered."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from trivet.api.v1 import inference_pb2
from trivet.cli.evaluation.config import derive
from trivet.cli.evaluation.run import Evaluation
from trivet.cli.prompt.compile.candidate import Candidate
from trivet.client import Client
from trivet.config import Config
from trivet.evaluation.arms import Arm
from trivet.evaluation.data import Example
from trivet.evaluation.metrics import combined, score
from trivet.evaluation.outcomes import Outcome, OutcomeLog
from trivet.evaluation.reply import ReplyReader
from trivet.evaluation.runner import Pace, Question, Runner
from trivet.evaluation.suite import Suite

REFLECTION = "reflection"
_REFLECTION_TOKENS = 1024
_REFLECTION_PROMPT = "You improve the instructions that another language model is given.\n"


class Trials:
    """Asks candidates through the gateway; answers are kept, so that a search that is repeated asks nothing twice.

    Safe to share between threads. Copies of it are itself: optimisers copy the programs that hold it.
    """

    def __init__(self, config: Config, suite: Suite, arm: Arm, evaluation: Evaluation, pace: Pace) -> None:
        """`arm`: whose prompt is searched; all else of it stays. `evaluation`: whose server is used, and whose digest
        says what else decides the answers."""
        self._config = config
        self._suite = suite
        self._arm = arm
        self._evaluation = evaluation
        self._pace = replace(pace, concurrency=1)  # whoever calls has threads of its own
        self._reader = ReplyReader(suite.form)
        self._lock = threading.Lock()
        self._arms: dict[str, Arm] = {}
        self._client: Client | None = None
        self._log: OutcomeLog | None = None
        self.asked = 0

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    @property
    def folder(self) -> Path:
        """Where candidates and their answers are kept."""
        return self._evaluation.folder / "compile"

    @contextmanager
    def serving(self, first: Candidate, reflection: str | None = None) -> Iterator[None]:
        """Start a server with the first candidate, and with a route of the backend `reflection`, if one is named."""
        prompts = self.folder / "candidates"
        prompts.mkdir(parents=True, exist_ok=True)
        if reflection is not None:
            (prompts / REFLECTION).mkdir(exist_ok=True)
            (prompts / REFLECTION / "1.md").write_text(_REFLECTION_PROMPT, encoding="utf-8")
            self._arms[REFLECTION] = Arm(REFLECTION, f"{REFLECTION}@1", _REFLECTION_TOKENS, backend=reflection)
        self._add(first)
        derived = derive(self._config, self._with_arms(), self.folder)
        with OutcomeLog(self.folder / "results.jsonl") as log, self._evaluation.server(derived) as client:
            self._log, self._client = log, client
            try:
                yield
            finally:
                self._log = self._client = None

    def outcome(self, candidate: Candidate, example: Example) -> Outcome:
        """What a candidate answers. CallFailed if the server cannot be asked."""
        assert self._log is not None
        assert self._client is not None
        with self._lock:
            arm = self._arms.get(candidate.digest) or self._serve(candidate)
        key = (self._evaluation.digest, arm.name, example.id)
        if key not in self._log.outcomes:
            Runner(self._suite, self._evaluation.digest, self._log, self._client, self._pace).run(
                [Question(arm, example)], lambda: None
            )
            with self._lock:
                self.asked += 1
        return self._log.outcomes[key]

    def score(self, candidate: Candidate, example: Example) -> float:
        """1 if all that the suite asks of an answer holds, else 0."""
        return self.judged(example, self.outcome(candidate, example))

    def judged(self, example: Example, outcome: Outcome) -> float:
        """The same of an answer that was given."""
        return combined(score(example, outcome, self._reader), self._suite.main.correct) or 0.0

    def reflect(self, text: str) -> str:
        """What the backend for reflection says to a text."""
        assert self._client is not None
        route = self._arms[REFLECTION].route
        message = inference_pb2.Message(role="user", content=text)
        request = inference_pb2.GenerateRequest(route=route, messages=[message], max_tokens=_REFLECTION_TOKENS)
        return str(self._client.generate(request).text)

    def _serve(self, candidate: Candidate) -> Arm:
        arm = self._add(candidate)
        derive(self._config, self._with_arms(), self.folder)
        assert self._client is not None
        self._client.reload_routes()
        return arm

    def _add(self, candidate: Candidate) -> Arm:
        name = f"candidate-{candidate.digest}"
        path = self.folder / "candidates" / name / "1.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(candidate.text, encoding="utf-8")
        arm = self._arms[candidate.digest] = replace(self._arm, name=name, prompt=f"{name}@1")
        return arm

    def _with_arms(self) -> Suite:
        arms = tuple(self._arms.values())
        main = replace(self._suite.main, arms=arms, baseline=arms[0].name)
        return replace(self._suite, main=main, general=None, prompts=self.folder / "candidates")
