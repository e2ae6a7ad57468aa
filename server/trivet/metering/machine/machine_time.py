"""The time of a machine that runs one engine, shared out among what it did: to the nanosecond, and to the nano-dollar.

In each step an engine computes prompt tokens of some requests, and the next token of others. Durations of requests are
no measure of that: they overlap, and their sum is many times the machine's. So each step's time is divided by what was
computed in it, a prompt token weighing less than an output token. The engine says how many prompt tokens a step had,
but of whom only with their first token; until then their part waits in a pool, and each request takes the share of its
tokens. What nobody takes, because it was cancelled before its first token or computed twice, is unattributed.

All numbers are whole, and what a division leaves over is carried on, so that at any time
    sum of all accounts + what is in progress = time since the beginning
exactly, and the same for money, which all goes through one remainder.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass

from trivet.metering.machine.weight_fit import FittedWeight, WeightFit
from trivet.types.generation import MachineAccount, MachineCharge, MachineState

HOUR = 3_600_000_000_000  # nanoseconds
SECOND = 1_000_000_000
WEIGHT = 1000  # of an output token; that of a prompt token is in the same unit


@dataclass(slots=True)
class _Share:
    """One request in the engine. `step_*`: what came of it since the last step was shared out."""

    account: MachineAccount
    prompt_tokens: int
    waiting: bool = True  # for its first token
    prefill: int = 0  # nanoseconds
    decode: int = 0
    step_tokens: int = 0
    step_computed: int | None = None
    last: bool = False  # there will be no other step of it


class MachineTime:
    """Implements `ports.MachineMeter`. Times are of one monotonic clock, in nanoseconds; all calls of one thread.

    `nanoseconds` and `nano_usd` are the accounts, `began` is when they do. `rate`: as given.
    """

    def __init__(
        self,
        rate: int,
        prompt_weight: int,
        now: int,
        *,
        follow: bool = False,
        on_weight: Callable[[int, FittedWeight], None] = lambda _version, _fitted: None,
    ) -> None:
        """`rate`: nano-USD per hour. `prompt_weight`: of a prompt token, where an output token has `WEIGHT`. `follow`:
        it is the first version, and others follow as the engine's steps tell them; `on_weight` is told of each."""
        self.rate = rate
        self._prompt_weight = prompt_weight
        self._fit = WeightFit()
        self._follow = follow
        self._on_weight = on_weight
        self._follows_a_step = False
        self.weight_version = 1
        self.began = self._last = now
        self._state = MachineState.DOWN
        self._open: dict[Hashable, _Share] = {}
        self._touched: dict[Hashable, _Share] = {}
        self._charged: dict[Hashable, MachineCharge | None] = {}  # those that have left, and are not asked for yet
        self._loose = 0  # nanoseconds with requests that are not shared out yet
        self._pool = 0  # nanoseconds of prompt tokens whose requests have no first token yet
        self._pool_tokens = 0
        self._waiting_tokens = 0  # the most that these can be
        self._carry = 0  # nano-USD times `HOUR` that are less than one
        self.nanoseconds = dict.fromkeys(MachineAccount, 0)
        self.nano_usd = dict.fromkeys(MachineAccount, 0)

    @property
    def prompt_weight(self) -> float:
        """Of a prompt token, by which is charged now; an output token has 1."""
        return self._prompt_weight / WEIGHT

    @property
    def fitted(self) -> FittedWeight | None:
        """What the engine's steps say of it; None until they say something."""
        return self._fit.newest

    @property
    def wall_time(self) -> int:
        """Nanoseconds from the beginning to the last call."""
        return self._last - self.began

    @property
    def in_progress(self) -> int:
        """Nanoseconds up to the last call that are in no account yet."""
        return self._loose + self._pool + sum(share.prefill + share.decode for share in self._open.values())

    def enter(self, state: MachineState, now: int) -> None:
        """The machine is in another state."""
        self.advance(now)
        self._state = state
        if state is not MachineState.UP:
            self._sweep()

    def begin(self, key: Hashable, account: MachineAccount, prompt_tokens: int, now: int) -> None:
        """A request is in the engine, and will have `end`."""
        self.advance(now)
        if not self._open:
            self._follows_a_step = False  # the next one's time has the way to the engine in it
        self._open[key] = _Share(account, prompt_tokens)
        self._waiting_tokens += prompt_tokens

    def output(self, key: Hashable, tokens: int, computed: int | None, *, last: bool) -> None:
        """A step brought tokens of a request; with its first, how many prompt tokens were computed for it."""
        share = self._open.get(key)
        if share is None:
            return
        if computed is not None and share.waiting:
            share.step_computed = computed
            tokens -= 1  # it came of the prompt's last token
        share.step_tokens += max(0, tokens)
        share.last = last
        self._touched[key] = share

    def step(self, prompt_tokens: int, now: int) -> None:
        """A step is over, in which so many prompt tokens were computed: share out the time since the last one."""
        self.advance(now)
        outputs = sum(share.step_tokens for share in self._touched.values())
        if self._follows_a_step:
            self._learn(prompt_tokens, outputs, self._loose)
        self._follows_a_step = True
        self._share_out(prompt_tokens, outputs)

    def _learn(self, prompt_tokens: int, outputs: int, nanoseconds: int) -> None:
        """How long a step took and what it computed. What is charged by changes where a fit that is sure refutes it."""
        if not self._fit.add(prompt_tokens, outputs, nanoseconds / SECOND):
            return
        found = self._fit.newest
        if self._follow and found is not None and found.sure and found.refutes(self.prompt_weight):
            self._prompt_weight = min(WEIGHT, max(1, round(found.weight * WEIGHT)))
            self.weight_version += 1
            self._on_weight(self.weight_version, found)

    def _share_out(self, prompt_tokens: int, outputs: int) -> None:
        given, prompt = self._loose, prompt_tokens * self._prompt_weight
        whole = prompt + WEIGHT * outputs
        if whole:
            part = given * prompt // whole
            self._pool += part
            self._loose -= part
            for share in self._touched.values():
                part = given * WEIGHT * share.step_tokens // whole
                share.decode += part
                self._loose -= part
        self._pool_tokens += prompt_tokens
        for share in self._touched.values():
            if share.step_computed is not None and share.waiting:
                share.waiting = False
                self._waiting_tokens -= share.prompt_tokens
                share.prefill += self._draw(share.step_computed)
            share.step_tokens, share.step_computed = 0, None
        touched, self._touched = self._touched, {}
        for key, share in touched.items():
            if share.last:
                self._charged[key] = self._close(key)
        self._trim()

    def end(self, key: Hashable, now: int) -> MachineCharge | None:
        """A request has left the engine: what it is charged, in nano-USD; None if it had no first token."""
        self.advance(now)
        if key in self._touched:  # the step that brought its last token is not over for the others
            self._share_out(0, sum(share.step_tokens for share in self._touched.values()))
            self._follows_a_step = False
        if key not in self._charged:
            self._charged[key] = self._close(key)
            self._trim()
        return self._charged.pop(key)

    def advance(self, now: int) -> None:
        """Account for the time up to `now`."""
        passed = max(0, now - self._last)
        self._last += passed
        if self._state is MachineState.STARTING:
            self._book(MachineAccount.STARTING, passed)
        elif self._state is MachineState.DOWN:
            self._book(MachineAccount.DOWN, passed)
        elif self._open:
            self._loose += passed
        else:
            self._book(MachineAccount.IDLE, passed)

    def _close(self, key: Hashable) -> MachineCharge | None:
        share = self._open.pop(key)
        if share.waiting:
            self._waiting_tokens -= share.prompt_tokens
        elif not self._open:
            share.decode += self._loose  # nobody else was there since the last step
            self._loose = 0
        if not self._open:
            self._sweep()
        if share.waiting:
            return None
        prefill, decode = self._book(share.account, share.prefill), self._book(share.account, share.decode)
        return MachineCharge(prefill, decode, self.prompt_weight)

    def _draw(self, tokens: int) -> int:
        """The share of so many of the pool's tokens."""
        tokens = min(tokens, self._pool_tokens)
        if not tokens:
            return 0
        part = self._pool * tokens // self._pool_tokens
        self._pool -= part
        self._pool_tokens -= tokens
        return part

    def _trim(self) -> None:
        """More tokens than those who wait have were of somebody who left, or were computed again."""
        self._book(MachineAccount.UNATTRIBUTED, self._draw(max(0, self._pool_tokens - self._waiting_tokens)))

    def _sweep(self) -> None:
        """Nobody is left to take it."""
        self._book(MachineAccount.UNATTRIBUTED, self._loose + self._pool)
        self._loose = self._pool = self._pool_tokens = 0

    def _book(self, account: MachineAccount, nanoseconds: int) -> int:
        """Nano-USD."""
        self.nanoseconds[account] += nanoseconds
        amount, self._carry = divmod(self._carry + nanoseconds * self.rate, HOUR)
        self.nano_usd[account] += amount
        return amount
