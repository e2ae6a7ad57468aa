"""Evidence out of a project: its evaluations, request log, document log, prompts and prices."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path

from trivet.advice.arms import arms_of, chance_of
from trivet.advice.evidence import ArmEvidence, Corpus, Evidence, Traffic, Wishes
from trivet.advice.knowledge import SMALL_CORPUS
from trivet.advice.traffic import DAYS_A_MONTH, RouteTraffic
from trivet.cli.advice.missing import beside, current_of, index_of, missing_arms
from trivet.cli.evaluation.run import Evaluation, EvaluationOptions
from trivet.cli.evaluation.stuffing import Stuffing
from trivet.config import Config
from trivet.costs.log_files import open_log
from trivet.costs.reading import Counts, entries
from trivet.errors import FailedPrecondition
from trivet.evaluation.arms import Arm
from trivet.evaluation.runner import Pace
from trivet.evaluation.suite import Part, Suite, load_suite
from trivet.stores.document_usage import changes_since
from trivet.types.variant import Route

WINDOW_DAYS = 30
_FEWEST_DAYS = 7.0  # of a document log that tells how often facts change
_DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class AdviceOptions:
    """What the command line says; None leaves it to the project. `ask`: whether arms without answers are asked.
    `requests_per_month`, `changes_per_month`: instead of what the logs say."""

    wishes: Wishes = field(default_factory=Wishes)
    route: str = ""
    current: str = ""
    ask: bool = True
    limit: int | None = None
    concurrency: int = 4
    examples: int = 0
    training_usd: float = 0.0
    requests_per_month: float | None = None
    changes_per_month: float | None = None


class Gathering:
    """Of one suite, and the route that its questions are about, if one is named."""

    def __init__(self, config: Config, suite: Path, options: AdviceOptions) -> None:
        """Reads the suite. Raises ConfigError, and FailedPrecondition for a route or an arm that is not there."""
        self._config = config
        self._options = options
        self._suite = load_suite(suite)
        self._route = self._named_route()
        self._current = self._current_arm()

    def evidence(self) -> Evidence:
        """All of it; asks the arms that have no answers yet, if it may."""
        arms, chance = self._arms()
        index = index_of(self._suite, self._current, self._config)
        return Evidence(
            arms=tuple(arms),
            current=self._current.name,
            chance=chance,
            corpus=None if index is None else self._corpus(index),
            traffic=self._traffic(),
            examples=self._options.examples,
            training_usd=self._options.training_usd,
            wishes=self._options.wishes,
        )

    def _named_route(self) -> Route | None:
        if not self._options.route:
            return None
        if self._options.route not in self._config.routes:
            known = ", ".join(self._config.routes)
            raise FailedPrecondition(f"no route {self._options.route!r}; known: {known}")
        return self._config.routes[self._options.route]

    def _current_arm(self) -> Arm:
        named = {arm.name: arm for arm in self._suite.main.arms}
        if self._options.current:
            if self._options.current not in named:
                known = ", ".join(named)
                raise FailedPrecondition(f"no arm {self._options.current!r}; known: {known}")
            return named[self._options.current]
        return named[self._suite.main.baseline] if self._route is None else current_of(self._route, self._suite)

    def _arms(self) -> tuple[list[ArmEvidence], float]:
        options = EvaluationOptions(limit=self._options.limit, pace=Pace(self._options.concurrency))
        found, chance = self._answered(self._suite, options)
        if missing := missing_arms(self._suite, self._current, self._config):
            found += self._answered(beside(self._suite, missing), options)[0]
        if not any(arm.name == self._current.name and arm.right for arm in found):
            raise FailedPrecondition(f"{self._current.name} has no answers yet: ask it without --no-ask")
        return found, chance

    def _answered(self, suite: Suite, options: EvaluationOptions) -> tuple[list[ArmEvidence], float]:
        evaluation = Evaluation(self._config, suite, options)
        if not self._options.ask:
            whole = self._with_answers(evaluation)
            if not whole:
                return [], 0.0
            baseline = suite.main.baseline if suite.main.baseline in whole else whole[0]
            kept = replace(options, arms=tuple(whole), baseline=baseline, general=self._has_general(evaluation))
            evaluation = Evaluation(self._config, suite, kept)
        report = evaluation.run()
        backend = self._backend
        return arms_of(evaluation.suite, report, evaluation.outcomes, backend), chance_of(report)

    @staticmethod
    def _with_answers(evaluation: Evaluation) -> list[str]:
        """The arms that have answered every question."""
        answered = {(outcome.arm, outcome.example) for outcome in evaluation.outcomes}
        return _answered_by(evaluation.suite.main, answered)

    @staticmethod
    def _has_general(evaluation: Evaluation) -> bool:
        """Whether the general part has all of its answers."""
        part = evaluation.suite.general
        answered = {(outcome.arm, outcome.example) for outcome in evaluation.outcomes}
        return part is not None and len(_answered_by(part, answered)) == len(part.arms)

    @property
    def _backend(self) -> str:
        """Of the current arm; unnamed, it is the one that takes adapters."""
        backends = self._config.file.backends
        usual = next((name for name, section in backends.items() if section.enable_lora), next(iter(backends)))
        return self._current.backend or usual

    @cached_property
    def _stuffing(self) -> Stuffing:
        return Stuffing(self._config, self._backend)

    def _corpus(self, index: str) -> Corpus:
        tokens = self._stuffing.tokens(index, 10 * SMALL_CORPUS) if index in self._config.indexes else None
        changes = self._options.changes_per_month
        return Corpus(index, tokens, self._changes(index) if changes is None else changes)

    def _changes(self, index: str) -> float | None:
        now = time.time()
        found = changes_since(self._config.data_dir / "documents.sqlite", index, now - WINDOW_DAYS * _DAY)
        if found is None:
            return None
        days = min((now - found[1]) / _DAY, WINDOW_DAYS)
        return None if days < _FEWEST_DAYS else found[0] / days * DAYS_A_MONTH

    def _traffic(self) -> Traffic:
        now = datetime.now(UTC)
        prefix = self._prefix_tokens()
        given = self._options.requests_per_month
        if self._route is None:
            return replace(RouteTraffic("").traffic(now, prefix, None), requests_per_month=given)
        sums = RouteTraffic(self._route.name)
        since = now - timedelta(days=WINDOW_DAYS)
        try:
            with open_log(self._config.data_dir, since) as files:
                sums.add_all(entries(files, Counts(), since=since))
        except FileNotFoundError:
            pass  # nothing was served yet
        found = sums.traffic(now, prefix, self._prices())
        return found if given is None else replace(found, requests_per_month=given)

    def _prefix_tokens(self) -> int | None:
        """Of the current prompt's static part; None if its file is not the project's or the suite's."""
        name = self._current.prompt.replace("@", "/") + ".md"
        folders: Sequence[Path | None] = (self._config.prompts, self._suite.prompts)
        source = next((folder / name for folder in folders if folder is not None and (folder / name).is_file()), None)
        return None if source is None else self._stuffing.prefix_tokens(source)

    def _prices(self) -> tuple[float, float] | None:
        price = self._config.file.prices.get(self._backend)
        return None if price is None else (price.input_per_million_tokens, price.cached_per_million_tokens)


def _answered_by(part: Part, answered: Collection[tuple[str, str]]) -> list[str]:
    return [arm.name for arm in part.arms if all((arm.name, example.id) in answered for example in part.examples)]
