"""What the store takes: texts that both databases can hold, none longer than its column, and numbers that are some."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from trivet.errors import Problems
from trivet.excerpt import shortened
from trivet.types.budget import Claim
from trivet.types.interaction import SealedInteraction
from trivet.types.rollout_state import Feedback, GatewayStatus, Move, ObservationBatch

NAME = 128
ID = 64
WORD = 32
ADDRESS = 4096
MESSAGE = 4096
REASON = 1024
SPEC = 64 << 10
EVIDENCE = 1 << 20
TOLD = 256 << 10
COMMENT = 4096
CORRECTED = 64 << 10
BATCH_BYTES = 1 << 20
MOST_BATCHES = 256
INTERACTION_BYTES = 1 << 20
MOST_INTERACTIONS = 256
MOST_UNITS = 1000
MOST_ROUTES = 10_000
LONGEST_LEASE = 3600.0
MOST_ROWS = 10_000
MOST_CLAIMS = 1000
MOST_AMOUNT = 1 << 60  # sums of a few fit into 64 bits

_MOVE = {
    "event": WORD, "state": WORD, "reason": ID, "actor": NAME, "evidence": EVIDENCE,
    "message": EVIDENCE,  # what is longer than its column is shortened
}  # fmt: skip
_BATCH = {"rollout": ID, "gateway": NAME, "epoch": ID}
_FEEDBACK = {"tenant": NAME, "request_id": NAME, "label": NAME, "corrected_text": CORRECTED, "comment": COMMENT}
_INTERACTION = {"tenant": NAME, "request_id": NAME, "route": NAME, "variant": NAME, "unit": ID}
_STATUS = {"id": NAME, "epoch": ID, "address": ADDRESS}
_MAY_BE_EMPTY = {"message", "evidence", "label", "corrected_text", "comment", "address", "actor", "unit"}


def check_texts(**texts: tuple[str, int]) -> None:
    """Each text with the most characters that it may have. Raises InvalidRequest with all that is wrong."""
    problems = Problems()
    for field, (value, most) in texts.items():
        _check_text(problems, field, value, most)
    problems.refuse()


def check_move(move: Move) -> None:
    """Raises InvalidRequest."""
    problems = Problems()
    _check_fields(problems, move, _MOVE)
    problems.expect(0 <= move.share <= 1, "share", f"expected a number from 0 to 1, got {move.share}")
    problems.expect(-1 <= move.step <= 1000, "step", f"expected a number from -1 to 1000, got {move.step}")
    for field in ("since", "judged_since"):
        value = getattr(move, field)
        problems.expect(value is None or math.isfinite(value), field, f"expected a time, got {value}")
    problems.refuse()


def check_batches(batches: Sequence[ObservationBatch]) -> None:
    """Raises InvalidRequest."""
    problems = Problems()
    if len(batches) > MOST_BATCHES:
        problems.add("batches", f"expected at most {MOST_BATCHES}, got {len(batches)}")
        problems.refuse()
    for batch in batches:
        _check_fields(problems, batch, _BATCH)
        problems.expect(0 <= batch.seq < 1 << 63, "seq", f"expected a number from 0 on, got {batch.seq}")
        problems.expect(-1 <= batch.step <= 1000, "step", f"expected a number from -1 to 1000, got {batch.step}")
        size = len(batch.data)
        problems.expect(size <= BATCH_BYTES, "data", f"expected at most {BATCH_BYTES:,} bytes, got {size:,}")
    problems.refuse()


def check_feedback(said: Feedback) -> None:
    """Raises InvalidRequest."""
    problems = Problems()
    _check_fields(problems, said, _FEEDBACK)
    scored = said.score is None or 0 <= said.score <= 1
    problems.expect(scored, "score", f"expected a number from 0 to 1, got {said.score}")
    problems.refuse()


def check_interactions(new: Sequence[SealedInteraction]) -> None:
    """Raises InvalidRequest."""
    problems = Problems()
    if len(new) > MOST_INTERACTIONS:
        problems.add("interactions", f"expected at most {MOST_INTERACTIONS}, got {len(new)}")
        problems.refuse()
    for one in new:
        _check_fields(problems, one, _INTERACTION)
        size = len(one.data)
        fits = size <= INTERACTION_BYTES
        problems.expect(fits, "data", f"expected at most {INTERACTION_BYTES:,} bytes, got {size:,}")
    problems.refuse()


def check_units(units: Sequence[str], request_ids: Sequence[str]) -> None:
    """Raises InvalidRequest."""
    problems = Problems()
    for field, values in (("units", units), ("request_ids", request_ids)):
        problems.expect(len(values) <= MOST_UNITS, field, f"expected at most {MOST_UNITS:,}, got {len(values):,}")
    problems.refuse()
    for value in (*units, *request_ids):
        _check_text(problems, "units", value, NAME)
    problems.refuse()


def check_status(status: GatewayStatus) -> None:
    """Raises InvalidRequest. What it tells of routes and indexes is bounded as a whole, where it is written."""
    problems = Problems()
    _check_fields(problems, status, _STATUS)
    problems.refuse()


def check_lease(name: str, owner: str, seconds: float) -> None:
    """Raises InvalidRequest."""
    check_texts(name=(name, NAME), owner=(owner, NAME))
    problems = Problems()
    within = 0 < seconds <= LONGEST_LEASE
    problems.expect(within, "seconds", f"expected more than 0 and at most {LONGEST_LEASE:g}, got {seconds}")
    problems.refuse()


def check_claims(gateway: str, lease_seconds: float, claims: Sequence[Claim]) -> None:
    """Raises InvalidRequest."""
    check_lease("budgets", gateway, lease_seconds)
    problems = Problems()
    problems.expect(len(claims) <= MOST_CLAIMS, "claims", f"expected at most {MOST_CLAIMS}, got {len(claims)}")
    problems.refuse()
    for claim in claims:
        _check_text(problems, "limit", claim.limit, NAME)
        amounts = (claim.most, claim.spent, claim.held, claim.need, claim.want)
        fit = all(0 <= amount <= MOST_AMOUNT for amount in amounts)
        problems.expect(fit, "claims", f"expected amounts from 0 to {MOST_AMOUNT:,}")
    problems.refuse()


def check_digests(digests: Mapping[str, str]) -> None:
    """Digests of contents by route. Raises InvalidRequest."""
    problems = Problems()
    problems.expect(len(digests) <= MOST_ROUTES, "routes", f"expected at most {MOST_ROUTES:,}, got {len(digests):,}")
    problems.refuse()
    for route, digest in digests.items():
        _check_text(problems, "route", route, NAME)
        _check_text(problems, "digest", digest, ID)
    problems.refuse()


def rows(limit: int) -> int:
    """How many rows are read at once; raises InvalidRequest."""
    problems = Problems()
    problems.expect(1 <= limit <= MOST_ROWS, "limit", f"expected a number from 1 to {MOST_ROWS:,}, got {limit}")
    problems.refuse()
    return limit


def fitting(message: str) -> str:
    """A message for people, its middle left out where it is too long for its column."""
    return shortened(message, MESSAGE - 8)


def _check_fields(problems: Problems, of: Any, bounds: dict[str, int]) -> None:
    for field, most in bounds.items():
        _check_text(problems, field, getattr(of, field), most)


def _check_text(problems: Problems, field: str, value: str, most: int) -> None:
    if len(value) > most:
        problems.add(field, f"expected at most {most:,} characters, got {len(value):,}")
    elif not value and field not in _MAY_BE_EMPTY:
        problems.add(field, "expected at least one character")
    elif "\0" in value:  # PostgreSQL cannot hold it
        problems.add(field, "expected a text without the character U+0000")
    elif not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            problems.add(field, "expected text that can be written in UTF-8, got half a surrogate pair")
