"""The arms that advice needs and a suite does not have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from trivet.advice.arms import knowledge_of
from trivet.advice.evidence import Knowledge
from trivet.config import Config
from trivet.errors import FailedPrecondition
from trivet.evaluation.arms import Arm
from trivet.evaluation.suite import Suite
from trivet.types.variant import Route, Variant

CURRENT, WITHOUT_DOCUMENTS, WITH_RETRIEVAL, STUFFED, WITHOUT_ADAPTER = (
    *("current", "without-documents", "with-retrieval", "stuffed-prefix", "without-adapter"),
)


def current_of(route: Route, suite: Suite) -> Arm:
    """The route's stable variant as an arm: the suite's own one that is the same, else one named `current`."""
    variant = _stable(route)
    if variant.adapter_choice is not None:
        raise FailedPrecondition(f"route {route.name!r}: each request has its own adapter, which is no arm")
    found = variant.retrieval
    marks = None if variant.reasoning is None else variant.reasoning.thought
    arm = Arm(
        name=CURRENT,
        prompt=str(variant.prompt),
        max_tokens=suite.main.arms[0].max_tokens,
        adapter=None if variant.adapter is None else str(variant.adapter),
        index=None if found is None else found.index,
        top_k=0 if found is None else found.top_k,
        token_budget=0 if found is None else found.token_budget,
        constrained=variant.json_schema is not None and suite.form.json_schema is not None,
        backend=variant.backend,
        samples=variant.samples,
        temperature=variant.sampling.temperature if variant.samples > 1 else 0.0,
        thought=None if marks is None else (marks.begin, marks.end),
    )
    return next((one for one in suite.main.arms if _same(one, arm)), arm)


def missing_arms(suite: Suite, current: Arm, config: Config) -> tuple[Arm, ...]:
    """Beside the suite's own ones; made from the current one by changing one leg."""
    known = [*suite.main.arms, *(() if current in suite.main.arms else (current,))]
    made = [] if current in suite.main.arms else [current]
    bare = replace(current, adapter=None)
    plain = replace(bare, index=None, stuffed=None, top_k=0, token_budget=0)
    index = index_of(suite, current, config)

    def lacks(knowledge: Knowledge) -> bool:
        return not any(arm.adapter is None and knowledge_of(arm) is knowledge for arm in known)

    if current.adapter is not None and lacks(knowledge_of(current)):
        made.append(replace(bare, name=WITHOUT_ADAPTER))
        known.append(made[-1])
    if index is None:
        return tuple(made)
    if lacks(Knowledge.NONE):
        made.append(replace(plain, name=WITHOUT_DOCUMENTS))
    if lacks(Knowledge.RETRIEVED):
        made.append(replace(plain, name=WITH_RETRIEVAL, index=index, top_k=3, token_budget=1024))
    if lacks(Knowledge.STUFFED) and index in config.indexes:
        made.append(replace(plain, name=STUFFED, stuffed=index))
    return tuple(made)


def index_of(suite: Suite, current: Arm, config: Config) -> str | None:
    """The index whose documents the questions are about; None if nothing says that there is one."""
    named = (index for arm in (current, *suite.main.arms) for index in (arm.index, arm.stuffed) if index is not None)
    found = next(named, None)
    if found is None and len(config.indexes) == 1 and any(example.documents for example in suite.main.examples):
        return next(iter(config.indexes))
    return found


def beside(suite: Suite, arms: Sequence[Arm]) -> Suite:
    """The same questions for these arms alone, so that the suite's own answers stay what they are."""
    main = replace(suite.main, arms=tuple(arms), baseline=arms[0].name)
    return replace(suite, main=main, general=None)


def _stable(route: Route) -> Variant:
    rollout = route.rollout
    name = max(route.weights, key=lambda one: route.weights[one]) if rollout is None else rollout.stable
    return route.variants[name]


def _same(one: Arm, other: Arm) -> bool:
    """But for the name, and where the backend is not named."""
    return replace(one, name="", backend=None) == replace(other, name="", backend=None) and one.backend in (
        None,
        other.backend,
    )
