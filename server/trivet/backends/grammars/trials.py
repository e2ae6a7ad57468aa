"""Trials: every schema is compiled outside of the engine first, those of an owner one at a time.

vLLM compiles the schemas of all requests in few threads of the engine's process (one, on two cores) and stops for
nobody: one that takes minutes keeps every other waiting. So only schemas whose compiling is known to be short reach the
engine.

Owners are the tenants, and the operator. What is known of a schema is known for its owner alone: whoever finds an
answer ready must not learn that somebody else uses the same schema.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from trivet.backends.grammars.limits import TrialLimits
from trivet.backends.grammars.verdict import Outcome, Verdict
from trivet.errors import BackendUnavailable, InvalidRequest, Overloaded, TrivetError
from trivet.schemas.check import schema_problems
from trivet.schemas.engine_form import engine_form
from trivet.schemas.limits import SchemaLimits
from trivet.schemas.size import schema_text

logger = logging.getLogger(__name__)

FIELD = "json_schema"
RETRY_AFTER = 1.0
REMEMBERED = 4096  # verdicts of all owners that there may be; each has the same share
LEAST_REMEMBERED = 64  # of one

OnTrial = Callable[[float, Outcome], None]  # told of each one's seconds


class SchemaCompiler(Protocol):
    """What tries a schema out, one at a time."""

    async def start(self) -> None:
        """Be ready for the first; BackendUnavailable."""
        ...

    async def compile(self, schema: str) -> Verdict:
        """Of a schema's JSON text; BackendUnavailable if it cannot be done now."""
        ...

    async def stop(self) -> None:
        """End whatever it runs."""
        ...


@dataclass(slots=True, eq=False)
class _Trial:
    key: str
    text: str
    owner: str
    done: asyncio.Future[Verdict]
    waiters: int = 0


@dataclass(slots=True)
class _Verdicts:
    """The newest verdicts of one owner, the one that was asked for last at the end.

    `most_bytes`: of its accepted grammars.
    """

    most: int
    most_bytes: int
    known: OrderedDict[str, tuple[Verdict, str]] = field(default_factory=OrderedDict)
    held_bytes: int = 0

    def find(self, key: str) -> tuple[Verdict, str] | None:
        found = self.known.get(key)
        if found is not None:
            self.known.move_to_end(key)
        return found

    def add(self, key: str, verdict: Verdict, text: str) -> None:
        text = text if verdict.outcome is Outcome.ACCEPTED else ""
        self.known[key] = verdict, text
        self.held_bytes += verdict.memory_bytes + len(text)
        while len(self.known) > self.most or (self.held_bytes > self.most_bytes and len(self.known) > 1):
            _, (old, old_text) = self.known.popitem(last=False)
            self.held_bytes -= old.memory_bytes + len(old_text)


class SchemaTrials:
    """Call everything from one event loop.

    An owner's schemas are tried in all compilers but one, so that another owner's need not wait for them.
    """

    def __init__(self, compilers: Sequence[SchemaCompiler], limits: TrialLimits, on_trial: OnTrial) -> None:
        self._compilers = tuple(compilers)
        self._idle = list(compilers)
        self._of_one_owner = max(1, len(self._compilers) - 1)
        self._limits = limits
        self._on_trial = on_trial
        self._verdicts: dict[str, _Verdicts] = {}  # by owner
        self._open: dict[tuple[str, str], _Trial] = {}  # by owner and key; waiting and under way
        self._queues: dict[str, deque[_Trial]] = {}  # by owner
        self._under_way: Counter[str] = Counter()  # by owner
        self._turns: dict[str, int] = {}  # each owner's last one; there are as many as keys name tenants
        self._turn = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._started = False
        self._closed = False

    @property
    def waiting(self) -> int:
        """Schemas that wait for their trial."""
        return sum(map(len, self._queues.values()))

    def known(self, schema: Mapping[str, Any], owner: str) -> bool:
        """Whether `admit` has its answer at once."""
        return _key(schema) in self._known(owner).known

    async def admit(self, schema: Mapping[str, Any], owner: str) -> str:
        """The text that the engine is given for this schema of the owner's, once it is known to be harmless.

        Raises InvalidRequest with what is wrong, Overloaded where too many wait, BackendUnavailable if it cannot be
        found out. Who is cancelled leaves the queue; a trial under way goes on to its own limit, since ending it costs
        more than it could still take.
        """
        key = _key(schema)
        found = self._known(owner).find(key)
        if found is None:
            trial = self._open.get((owner, key)) or await self._line_up(key, dict(schema), owner)
            verdict, text = await self._outcome(trial), trial.text
        else:
            verdict, text = found
        if verdict.outcome is not Outcome.ACCEPTED:
            raise InvalidRequest({FIELD: verdict.refusal})
        return text

    async def close(self) -> None:
        """End the trials; who waits gets BackendUnavailable."""
        self._closed = True
        tasks = set(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for trial in self._open.values():
            _fail(trial, BackendUnavailable("the engine is stopped", RETRY_AFTER))
        self._open.clear()
        self._queues.clear()
        for compiler in self._compilers:
            await compiler.stop()

    def _known(self, owner: str) -> _Verdicts:
        if owner not in self._verdicts:
            most = max(REMEMBERED // self._limits.owners, LEAST_REMEMBERED)
            # Half of what the engine keeps: what is known here must be found there again.
            self._verdicts[owner] = _Verdicts(most, self._limits.owner_bytes // 2)
        return self._verdicts[owner]

    async def _line_up(self, key: str, schema: dict[str, Any], owner: str) -> _Trial:
        self._giving_way(owner)  # before any work is done on it
        # In a thread: tens of milliseconds for the largest that is allowed, and the event loop is everybody's.
        text = await asyncio.to_thread(_checked_form, schema, self._limits.schema)
        if self._closed:
            raise BackendUnavailable("the engine is stopped", RETRY_AFTER)
        if (owner, key) in self._open:  # another one came in between
            return self._open[owner, key]
        self._make_room(owner)
        trial = self._open[owner, key] = _Trial(key, text, owner, asyncio.get_running_loop().create_future())
        self._queues.setdefault(owner, deque()).append(trial)
        self._dispatch()
        return trial

    def _giving_way(self, owner: str) -> _Trial | None:
        """Which one has to give way to one of this owner, None if there is room; Overloaded if none has to.

        It is the newest of the owner that has the most in a queue that is full.
        """
        if self.waiting < self._limits.max_waiting:
            return None
        greediest = max(self._queues, key=lambda name: len(self._queues[name]))
        if len(self._queues.get(owner, ())) + 1 >= len(self._queues[greediest]):
            raise self._overloaded()
        return self._queues[greediest][-1]

    def _make_room(self, owner: str) -> None:
        newest = self._giving_way(owner)
        if newest is not None:
            self._withdraw(newest)
            _fail(newest, self._overloaded())

    def _overloaded(self) -> Overloaded:
        return Overloaded("schemas", self._limits.max_waiting, RETRY_AFTER)

    async def _outcome(self, trial: _Trial) -> Verdict:
        trial.waiters += 1
        try:
            return await asyncio.shield(trial.done)
        finally:
            trial.waiters -= 1
            if not trial.waiters and not trial.done.done():
                self._withdraw(trial)

    def _withdraw(self, trial: _Trial) -> None:
        """Out of the queue, if it is still in it."""
        if trial in self._queues.get(trial.owner, ()):
            self._leave_queue(trial)
            self._open.pop((trial.owner, trial.key), None)

    def _leave_queue(self, trial: _Trial) -> None:
        queue = self._queues[trial.owner]
        queue.remove(trial)
        if not queue:
            del self._queues[trial.owner]

    def _dispatch(self) -> None:
        """Give idle compilers what waits: the owner whose turn was longest ago first."""
        while self._idle and not self._closed:
            may = (owner for owner in self._queues if self._under_way[owner] < self._of_one_owner)
            owner = min(may, key=lambda one: self._turns.get(one, 0), default=None)
            if owner is None:
                return
            trial = self._queues[owner][0]
            self._leave_queue(trial)
            self._turn += 1
            self._turns[owner] = self._turn
            self._under_way[owner] += 1
            self._spawn(self._run(trial, self._idle.pop(0)))
            self._start_others()

    def _start_others(self) -> None:
        """With the first trial, so that another owner's first one need not wait for a start."""
        if self._started:
            return
        self._started = True
        others, self._idle = self._idle, []
        for compiler in others:
            self._spawn(self._start(compiler))

    async def _start(self, compiler: SchemaCompiler) -> None:
        with suppress(BackendUnavailable):  # it is tried again with a schema
            await compiler.start()
        self._idle.append(compiler)
        self._dispatch()

    async def _run(self, trial: _Trial, compiler: SchemaCompiler) -> None:
        started = time.monotonic()
        try:
            verdict = await compiler.compile(trial.text)
        except asyncio.CancelledError:
            _fail(trial, BackendUnavailable("the engine is stopped", RETRY_AFTER))
            raise
        except TrivetError as problem:
            _fail(trial, problem)
        except Exception:
            logger.exception("a schema could not be tried out")
            _fail(trial, BackendUnavailable("the schema could not be tried out", RETRY_AFTER))
        else:
            self._on_trial(time.monotonic() - started, verdict.outcome)
            self._known(trial.owner).add(trial.key, verdict, trial.text)
            if not trial.done.done():
                trial.done.set_result(verdict)
        finally:
            self._open.pop((trial.owner, trial.key), None)
            self._under_way[trial.owner] -= 1
            self._idle.append(compiler)
            self._dispatch()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name="schema-trial")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _checked_form(schema: dict[str, Any], limits: SchemaLimits) -> str:
    problems = schema_problems(schema, limits)
    if problems:
        raise InvalidRequest({FIELD: "; ".join(map(str, problems))})
    return engine_form(schema)


def _key(schema: Mapping[str, Any]) -> str:
    return hashlib.sha256(schema_text(schema).encode(errors="surrogatepass")).hexdigest()


def _fail(trial: _Trial, problem: TrivetError) -> None:
    if not trial.done.done():
        trial.done.set_exception(problem)
        trial.done.exception()  # it may have no reader any more
