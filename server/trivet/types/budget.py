"""What a tenant or a key may use in a window of time, what gateways tell each other of it; what a tenant may keep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum


class Period(Enum):
    """How long a window is. Windows begin with the minute, hour, day or month of UTC."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"
    MONTH = "month"

    @property
    def longest(self) -> float:
        """Seconds that a window has at most."""
        return {Period.MINUTE: 60.0, Period.HOUR: 3600.0, Period.DAY: 86_400.0, Period.MONTH: 31 * 86_400.0}[self]

    def window(self, at: float) -> tuple[int, int]:
        """The window that holds a time, all in seconds since 1970: where it begins, and where the next one does."""
        moment = datetime.fromtimestamp(at, UTC).replace(second=0, microsecond=0)
        if self is Period.MINUTE:
            return _span(moment, moment + timedelta(minutes=1))
        moment = moment.replace(minute=0)
        if self is Period.HOUR:
            return _span(moment, moment + timedelta(hours=1))
        moment = moment.replace(hour=0)
        if self is Period.DAY:
            return _span(moment, moment + timedelta(days=1))
        first = moment.replace(day=1)
        return _span(first, (first + timedelta(days=32)).replace(day=1))


def _span(start: datetime, end: datetime) -> tuple[int, int]:
    return int(start.timestamp()), int(end.timestamp())


class Unit(Enum):
    """What is counted. USD is counted in nano-USD (1e-9 USD); tokens are input, cached ones included, and output."""

    REQUESTS = "requests"
    TOKENS = "tokens"
    USD = "usd"


class Owner(Enum):
    """Whose limit it is."""

    TENANT = "tenant"
    KEY = "key"


@dataclass(frozen=True, slots=True)
class Use:
    """What a request uses, or may use at most."""

    requests: int = 0
    tokens: int = 0
    nano_usd: int = 0

    def of(self, unit: Unit) -> int:
        """The amount in one unit."""
        return {Unit.REQUESTS: self.requests, Unit.TOKENS: self.tokens, Unit.USD: self.nano_usd}[unit]


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `most` of a unit in each window. From the share `warn_at` of it on, answers carry a warning."""

    owner: Owner
    name: str
    period: Period
    unit: Unit
    most: int
    warn_at: float = 0.8

    @property
    def id(self) -> str:
        """What tells it from other limits, whatever `most` is."""
        return f"{self.owner.value}:{self.name}/{self.period.value}/{self.unit.value}"

    def __str__(self) -> str:
        most = f"{self.most / 1e9:,.9g} USD" if self.unit is Unit.USD else f"{self.most:,} {self.unit.value}"
        return f"{most} per {self.period.value} of {self.owner.value} {self.name}"


@dataclass(frozen=True, slots=True)
class LimitSet:
    """Every limit there is. A tenant that is not named has limits of its own as `default` says."""

    by_tenant: Mapping[str, tuple[Limit, ...]] = field(default_factory=dict)
    by_key: Mapping[str, tuple[Limit, ...]] = field(default_factory=dict)
    default: tuple[Limit, ...] = ()

    def of(self, tenant: str, key: str) -> tuple[Limit, ...]:
        """Those that a request is held against."""
        own = self.by_tenant.get(tenant)
        if own is None:
            own = tuple(
                Limit(Owner.TENANT, tenant, one.period, one.unit, one.most, one.warn_at) for one in self.default
            )
        return own + self.by_key.get(key, ())

    def now(self, limit: Limit) -> Limit | None:
        """The same limit as it is in this set; None if it is not there any more."""
        held = self.by_key.get(limit.name, ()) if limit.owner is Owner.KEY else self.of(limit.name, "")
        return next((one for one in held if one.id == limit.id), None)


@dataclass(frozen=True, slots=True)
class Claim:
    """What a gateway tells of one limit, and what it asks for.

    `start`: of the window that it tells of, None for none yet. `spent`: all that it has spent in that window; `held`:
    what it keeps of what it was granted. With `need` above 0 it asks for that much in the window that is now, and for
    up to `want` more.
    """

    limit: str
    period: Period
    most: int
    start: int | None
    spent: int = 0
    held: int = 0
    need: int = 0
    want: int = 0


@dataclass(frozen=True, slots=True)
class Grant:
    """The answer to a claim, of the window that is now. Times are the store's, in seconds since 1970.

    `used`: spent by all gateways; `held`: kept by all, this grant included. `granted` is 0, or the need and perhaps
    more; `overdrawn`: it is the need of one request, of which less than that was left.
    """

    limit: str
    start: int
    end: int
    at: float
    used: int
    held: int
    granted: int
    overdrawn: bool = False


@dataclass(frozen=True, slots=True)
class Quota:
    """Of one tenant, over all indexes; bytes as the documents were given. None for no bound."""

    max_documents: int | None = None
    max_bytes: int | None = None


NO_BOUNDS = Quota()


@dataclass(frozen=True, slots=True)
class Quotas:
    """Each tenant's. Documents that all tenants share have none: operators alone write them."""

    default: Quota = NO_BOUNDS
    by_tenant: Mapping[str, Quota] = field(default_factory=dict)

    def of(self, tenant: str) -> Quota:
        """A tenant's quota; that of nobody, empty, is no bound."""
        return self.by_tenant.get(tenant, self.default) if tenant else NO_BOUNDS


NO_QUOTAS = Quotas()
