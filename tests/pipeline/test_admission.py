"""The bounded queue: order, bounds, and no place lost whatever is cancelled when."""

from __future__ import annotations

import asyncio
import random

import pytest

from trivet.errors import Draining, Overloaded
from trivet.pipeline.admission import Admission


def make(running: int = 1, queued: int = 2, tokens: int = 100) -> Admission:
    return Admission(max_running=running, max_queued=queued, max_queued_tokens=tokens)


async def hold(admission: Admission, release: asyncio.Event, order: list[str], name: str, priority: int = 5) -> None:
    async with admission.enter(tokens=10, priority=priority):
        order.append(name)
        await release.wait()


async def test_the_queue_is_bounded_by_requests_and_by_tokens() -> None:
    admission = make(queued=2, tokens=25)
    release = asyncio.Event()
    tasks = [asyncio.create_task(hold(admission, release, [], str(i))) for i in range(3)]
    await asyncio.sleep(0)
    assert admission.in_flight == 3
    with pytest.raises(Overloaded) as refused:
        async with admission.enter(tokens=1):
            pass
    assert (refused.value.subject, refused.value.limit) == ("requests", 2)
    tasks[2].cancel()
    await asyncio.sleep(0)
    with pytest.raises(Overloaded) as refused:
        async with admission.enter(tokens=16):
            pass
    assert (refused.value.subject, refused.value.limit) == ("prompt tokens", 25)
    release.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert admission.in_flight == 0


async def test_the_urgent_go_first_and_equals_in_order_of_arrival() -> None:
    admission, order = make(queued=10, tokens=1000), list[str]()
    first, rest = asyncio.Event(), asyncio.Event()
    rest.set()
    holder = asyncio.create_task(hold(admission, first, order, "holder"))
    await asyncio.sleep(0)
    waiting = []
    for name, priority in (("late", 9), ("a", 5), ("b", 5), ("urgent", 0)):
        waiting.append(asyncio.create_task(hold(admission, rest, order, name, priority)))
        await asyncio.sleep(0)
    first.set()
    await asyncio.gather(holder, *waiting)
    assert order == ["holder", "urgent", "a", "b", "late"]


async def test_no_place_is_lost_under_random_cancellation() -> None:
    admission = make(running=3, queued=1000, tokens=10**6)
    chance = random.Random(7)
    most = running = 0

    async def work() -> None:
        nonlocal most, running
        tenant = chance.choice("abc")
        async with admission.enter(tokens=chance.randrange(5), priority=chance.randrange(3), tenant=tenant) as place:
            if chance.random() < 0.5:
                async with place.aside():
                    for _ in range(chance.randrange(4)):
                        await asyncio.sleep(0)
            running += 1
            most = max(most, running)
            try:
                for _ in range(chance.randrange(4)):
                    await asyncio.sleep(0)
            finally:
                running -= 1

    tasks = []
    for _ in range(500):
        tasks.append(asyncio.create_task(work()))
        if chance.random() < 0.5:
            chance.choice(tasks).cancel()
        if chance.random() < 0.3:
            await asyncio.sleep(0)
    await asyncio.gather(*tasks, return_exceptions=True)
    assert (admission.in_flight, most) == (0, 3)
    async with admission.enter(tokens=1), admission.enter(tokens=1), admission.enter(tokens=1):
        assert admission.in_flight == 3  # all three places are still there


async def test_one_that_steps_aside_gives_its_place_away_and_returns_before_all_others() -> None:
    admission, order, there = make(queued=10, tokens=1000), list[str](), asyncio.Event()
    release = {name: asyncio.Event() for name in ("next", "late")}

    async def step_aside() -> None:
        async with admission.enter(tokens=10) as place:
            async with place.aside():
                await there.wait()
            order.append("back")

    tasks = [asyncio.create_task(step_aside())]
    for name, event in release.items():
        tasks.append(asyncio.create_task(hold(admission, event, order, name, priority=0)))
        await asyncio.sleep(0)
    assert order == ["next"]
    assert admission.in_flight == 3
    there.set()
    await asyncio.sleep(0)
    assert order == ["next"]  # its place is taken
    release["late"].set()
    release["next"].set()
    await asyncio.gather(*tasks)
    assert order == ["next", "back", "late"]
    assert admission.in_flight == 0


async def test_those_aside_count_in_the_bounds() -> None:
    admission, there = make(running=2, queued=1, tokens=25), asyncio.Event()

    async def step_aside() -> None:
        async with admission.enter(tokens=20) as place, place.aside():
            await there.wait()

    aside = asyncio.create_task(step_aside())
    await asyncio.sleep(0)
    with pytest.raises(Overloaded) as refused:
        async with admission.enter(tokens=6):
            pass
    assert refused.value.subject == "prompt tokens"
    async with admission.enter(tokens=5), admission.enter(tokens=5):
        assert admission.in_flight == 3
        with pytest.raises(Overloaded) as refused:
            async with admission.enter(tokens=1):
                pass
        assert refused.value.subject == "requests"
    there.set()
    await aside
    assert admission.in_flight == 0


async def test_draining_waits_for_those_aside() -> None:
    admission, there = make(), asyncio.Event()

    async def step_aside() -> None:
        async with admission.enter(tokens=1) as place, place.aside():
            await there.wait()

    aside = asyncio.create_task(step_aside())
    await asyncio.sleep(0)
    draining = asyncio.create_task(admission.drain())
    await asyncio.sleep(0)
    assert not draining.done()
    there.set()
    await asyncio.wait_for(draining, 30)
    await aside


async def test_draining_refuses_new_ones_and_waits_for_the_others() -> None:
    admission, release, order = make(), asyncio.Event(), list[str]()
    tasks = [asyncio.create_task(hold(admission, release, order, str(i))) for i in range(2)]
    await asyncio.sleep(0)
    draining = asyncio.create_task(admission.drain())
    await asyncio.sleep(0)
    with pytest.raises(Draining):
        async with admission.enter(tokens=1):
            pass
    assert not draining.done()
    release.set()
    await asyncio.wait_for(draining, 30)
    await asyncio.gather(*tasks)
    assert order == ["0", "1"]


async def test_draining_an_idle_queue_returns_at_once() -> None:
    await asyncio.wait_for(make().drain(), 30)


async def stay(admission: Admission, tenant: str, log: list[str], *, tokens: int = 1, priority: int = 5) -> None:
    """Have a place for one turn of the event loop."""
    try:
        async with admission.enter(tokens=tokens, tenant=tenant, priority=priority):
            log.append(tenant)
            await asyncio.sleep(0)
    except Overloaded as error:
        log.append(f"{tenant}: {error.subject}")


async def test_a_tenant_that_fills_the_queue_keeps_no_other_out() -> None:
    admission, release, log = make(running=1, queued=4, tokens=1000), asyncio.Event(), list[str]()
    first = asyncio.create_task(hold(admission, release, [], "first"))
    await asyncio.sleep(0)
    loud = [asyncio.create_task(stay(admission, "loud", log)) for _ in range(6)]
    await asyncio.sleep(0)
    assert log == ["loud: requests"] * 2
    quiet = [asyncio.create_task(stay(admission, "quiet", log)) for _ in range(4)]
    for _ in range(3):
        await asyncio.sleep(0)
    # Two of each wait now: the loud one's newest gave way, and nobody gives way to an equal.
    assert sorted(log[2:]) == ["loud: requests"] * 2 + ["quiet: requests"] * 2
    release.set()
    await asyncio.gather(first, *loud, *quiet)
    assert sorted(log[6:]) == ["loud"] * 2 + ["quiet"] * 2
    assert admission.in_flight == 0


async def test_a_tenant_whose_requests_all_step_aside_keeps_no_other_out() -> None:
    admission, release, log = make(running=2, queued=4, tokens=1000), asyncio.Event(), list[str]()

    async def step_aside() -> None:
        async with admission.enter(tokens=1, tenant="loud") as place, place.aside():
            await release.wait()

    loud = [asyncio.create_task(step_aside()) for _ in range(8)]
    for _ in range(8):
        await asyncio.sleep(0)
    assert (admission.running, admission.in_flight) == (0, 6)
    assert sum(one.done() for one in loud) == 2, "and no more of its own"
    await asyncio.gather(*(stay(admission, "quiet", log) for _ in range(2)))
    assert log == ["quiet"] * 2
    release.set()
    await asyncio.gather(*loud, return_exceptions=True)
    assert admission.in_flight == 0


async def test_many_prompt_tokens_of_one_tenant_give_way_to_few_of_another() -> None:
    admission, release, log = make(running=1, queued=10, tokens=100), asyncio.Event(), list[str]()
    first = asyncio.create_task(hold(admission, release, [], "first"))
    await asyncio.sleep(0)
    tasks = [asyncio.create_task(stay(admission, "loud", log, tokens=45)) for _ in range(2)]
    await asyncio.sleep(0)
    tasks.append(asyncio.create_task(stay(admission, "large", log, tokens=95)))  # more than the other has: refused
    tasks.append(asyncio.create_task(stay(admission, "quiet", log, tokens=20)))
    for _ in range(3):
        await asyncio.sleep(0)
    assert log == ["large: prompt tokens", "loud: prompt tokens"]
    release.set()
    await asyncio.gather(first, *tasks)
    assert sorted(log[2:]) == ["loud", "quiet"]
    assert admission.in_flight == 0


async def served_in_turn(running: int, asked: list[tuple[str, int]]) -> list[str]:
    """The tenants in the order in which they have a place. Each of (tenant, priority) ends in the order of `asked`."""
    admission, log = make(running=running, queued=20, tokens=1000), list[str]()
    ends = [asyncio.Event() for _ in asked]

    async def long(tenant: str, priority: int, end: asyncio.Event) -> None:
        async with admission.enter(tokens=1, tenant=tenant, priority=priority):
            log.append(tenant)
            await end.wait()

    tasks = [asyncio.create_task(long(*one, end)) for one, end in zip(asked, ends, strict=True)]
    await asyncio.sleep(0)
    for end in ends:
        end.set()
        for _ in range(4):
            await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    assert admission.in_flight == 0
    return log


async def test_the_next_place_is_for_the_tenant_that_has_the_fewest_whatever_its_priority() -> None:
    log = await served_in_turn(2, [("loud", 0)] * 5 + [("quiet", 9)] * 2)
    assert log == ["loud", "loud", "quiet", "loud", "loud", "loud", "quiet"]  # from the third on they have one each


async def test_a_single_place_goes_round() -> None:
    log = await served_in_turn(1, [("loud", 0)] * 4 + [("quiet", 9)] * 2)
    assert log == ["loud", "quiet", "loud", "quiet", "loud", "loud"]


async def test_the_last_and_least_urgent_gives_way() -> None:
    admission, release, log = make(running=1, queued=3, tokens=1000), asyncio.Event(), list[str]()
    first = asyncio.create_task(hold(admission, release, [], "first"))
    await asyncio.sleep(0)
    waiting = [asyncio.create_task(stay(admission, "loud", log, priority=priority)) for priority in (5, 9, 0)]
    await asyncio.sleep(0)
    newcomer = asyncio.create_task(stay(admission, "quiet", log))
    for _ in range(2):
        await asyncio.sleep(0)
    assert [task.done() for task in waiting] == [False, True, False]
    release.set()
    await asyncio.gather(first, newcomer, *waiting)


async def test_those_who_gave_way_and_are_cancelled_at_once_leave_no_trace() -> None:
    admission, release, log = make(running=1, queued=2, tokens=1000), asyncio.Event(), list[str]()
    first = asyncio.create_task(hold(admission, release, [], "first"))
    await asyncio.sleep(0)
    loud = [asyncio.create_task(stay(admission, "loud", log)) for _ in range(2)]
    await asyncio.sleep(0)
    quiet = asyncio.create_task(stay(admission, "quiet", log))
    loud[0].cancel()
    await asyncio.sleep(0)
    loud[1].cancel()
    release.set()
    await asyncio.gather(first, quiet, *loud, return_exceptions=True)
    assert admission.in_flight == 0
    async with admission.enter(tokens=1):
        assert admission.in_flight == 1


async def test_beside_others_a_tenant_has_its_part_of_the_places_and_alone_all() -> None:
    admission = Admission(max_running=4, max_queued=8, max_queued_tokens=100, beside_others=2)
    order, ends = list[str](), {name: asyncio.Event() for name in ("f1", "f2", "f3", "f4", "f5", "f6", "other")}

    async def run(tenant: str, name: str) -> None:
        async with admission.enter(tokens=1, tenant=tenant):
            order.append(name)
            await ends[name].wait()

    tasks = [asyncio.create_task(run("flood", name)) for name in ("f1", "f2", "f3", "f4")]
    await asyncio.sleep(0)
    assert order == ["f1", "f2", "f3", "f4"]  # alone: all
    tasks += [asyncio.create_task(run("flood", name)) for name in ("f5", "f6")]
    tasks.append(asyncio.create_task(run("acme", "other")))
    await asyncio.sleep(0)
    for name in ("f1", "f2"):
        ends[name].set()
        await asyncio.sleep(0.01)
    assert order == ["f1", "f2", "f3", "f4", "other"]  # flood has two places, and one is free
    ends["f3"].set()
    await asyncio.sleep(0.01)
    assert order[-1] == "f5"
    for end in ends.values():
        end.set()
    await asyncio.gather(*tasks)
    assert admission.in_flight == 0
