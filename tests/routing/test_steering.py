"""Routes as they are served: the file's content, the store's rollout."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from trivet.rollouts.states import TERMINAL, State
from trivet.routing.content import content_digest
from trivet.routing.required import pinned_adapters, required_adapters
from trivet.routing.steering import Steering, stable_alone, steered
from trivet.types.rollout import ENDED, NOT_STARTED, PROMOTED, RouteRollout
from trivet.types.variant import Route, Sampling, Variant, VersionRef

ONE, TWO, THREE = (VersionRef("tone", version) for version in "123")
DECLARED = RouteRollout("", "pending", -1, "old", "new", 0.0, 0.1, "", spec_digest="spec")


def a_route(rollout: RouteRollout | None = DECLARED, revision: int = 2) -> Route:
    adapters = {"old": ONE, "new": TWO, "other": THREE}
    variants = {name: Variant(name, "main", VersionRef("p", "1"), adapter) for name, adapter in adapters.items()}
    return Route("ask", variants, {"old": 1.0, "new": 0.0, "other": 0.0}, "ask", revision=revision, rollout=rollout)


def running(state: str = "canary", share: float = 0.5, **changes: Any) -> RouteRollout:
    return replace(DECLARED, id="r1", state=state, step=1, share=share, salt="s", **changes)


def test_the_words_of_routing_are_those_of_the_states() -> None:
    assert {state.value for state in TERMINAL} == ENDED
    assert {NOT_STARTED, PROMOTED} <= {state.value for state in State}


def test_the_stores_rollout_gives_the_shares_and_the_higher_revision_holds() -> None:
    served = steered(a_route(), Steering(running(), 7))
    assert served.rollout == running()
    assert served.weights == {"old": pytest.approx(0.55), "new": pytest.approx(0.45), "other": 0.0}
    assert served.revision == 7
    assert steered(a_route(revision=9), Steering(running(), 7)).revision == 9


@pytest.mark.parametrize(
    "rollout",
    [None, running(stable="new"), running(candidate="other"), running(spec_digest="older")],
)
def test_a_rollout_of_something_else_gives_nobody_anything(rollout: RouteRollout | None) -> None:
    served = steered(a_route(), Steering(rollout, 7))
    assert (served.rollout, served.revision) == (DECLARED, 7)
    assert served.weights == {"old": 1.0, "new": 0.0, "other": 0.0}


def test_a_route_without_a_rollout_in_the_file_keeps_its_weights() -> None:
    route = replace(a_route(None), weights={"old": 1.0, "new": 3.0, "other": 0.0})
    served = steered(route, Steering(running(), 7))
    assert (served.weights, served.rollout, served.revision) == (route.weights, None, 7)


def test_what_a_gateway_does_on_its_own_has_no_revision() -> None:
    assert steered(a_route(), Steering(running(local=True), 7)).revision == 0
    held = stable_alone(steered(a_route(), Steering(running(), 7)))
    assert (held.revision, held.weights) == (0, {"old": 1.0, "new": 0.0, "other": 0.0})


@pytest.mark.parametrize(
    ("rollout", "wanted", "pinned"),
    [
        (None, {ONE, TWO, THREE}, set()),
        (DECLARED, {ONE}, set()),
        (running("pending", 0.0), {ONE}, set()),
        (running("warming", 0.0), {ONE, TWO}, {ONE, TWO}),
        (running("canary", 0.5), {ONE, TWO}, {ONE, TWO}),
        (running("halted", 0.5), {ONE, TWO}, {ONE, TWO}),
        (running("soaking", 1.0), {ONE, TWO}, {ONE, TWO}),
        (running("promoted", 1.0), {TWO}, set()),
        (running("rolled_back", 0.0), {ONE}, set()),
        (running("cancelled", 0.0), {ONE}, set()),
    ],
)
def test_whose_adapters_are_wanted_and_which_never_give_way(
    rollout: RouteRollout | None, wanted: set[VersionRef], pinned: set[VersionRef]
) -> None:
    routes = {"ask": a_route(rollout)}
    assert required_adapters(routes).keys() == wanted
    assert pinned_adapters(routes) == pinned


def test_the_same_content_has_the_same_digest_and_any_other_has_another() -> None:
    route = a_route()
    assert content_digest(route) == content_digest(replace(a_route(), revision=99))
    shuffled = replace(route, variants=dict(reversed(list(route.variants.items()))))
    assert content_digest(shuffled) == content_digest(route)
    sampled = replace(route.variants["old"], sampling=Sampling(temperature=0.5), json_schema={"type": "object"})
    others = [
        replace(route, variants={**route.variants, "old": sampled}),
        replace(route, weights={**route.weights, "old": 2.0}),
        replace(route, salt="other"),
        replace(route, rollout=replace(DECLARED, spec_digest="another")),
    ]
    assert len({content_digest(one) for one in (route, *others)}) == 5
