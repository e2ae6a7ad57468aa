"""Domain errors. They know nothing of a transport; `trivet.rpc.status` maps each of them to a gRPC status."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import ClassVar

from trivet.excerpt import quote, shortened

MOST_PROBLEMS = 16
LONGEST_FIELD = 200
LONGEST_PROBLEM = 400


class TrivetError(Exception):
    """Base of everything that Trivet itself refuses or fails at.

    `reason` is stable and machine-readable (UPPER_SNAKE_CASE); the message is for people and says what was wrong and
    what was expected. It reaches clients, so it never holds a secret, a path outside the data folder or another
    tenant's data. However much it is about, it has at most about `longest` characters: the middle is left out.
    """

    reason: ClassVar[str] = "INTERNAL"
    longest: ClassVar[int] = 2000

    def __init__(self, message: str) -> None:
        super().__init__(shortened(message, self.longest))


class InvalidRequest(TrivetError):
    """Something in the request is wrong. `fields` maps a field's path to what is wrong with it.

    At most `MOST_PROBLEMS` of them are kept; `more` is how many there are beside.
    """

    reason = "INVALID_REQUEST"

    def __init__(self, fields: Mapping[str, str], more: int = 0) -> None:
        self.fields = {
            shortened(path, LONGEST_FIELD): shortened(problem, LONGEST_PROBLEM)
            for path, problem in islice(fields.items(), MOST_PROBLEMS)
        }
        self.more = more + max(0, len(fields) - MOST_PROBLEMS)
        told = "; ".join(f"{path}: {problem}" for path, problem in self.fields.items())
        total = len(self.fields) + self.more
        super().__init__(f"{total:,} problems, the first {len(self.fields)}: {told}" if self.more else told)


class Problems:
    """Collects what is wrong with a request, by field, so that the client learns it at once.

    The first `MOST_PROBLEMS` fields are kept with the first thing that is wrong with each; the rest is counted.
    """

    def __init__(self) -> None:
        self._fields: dict[str, str] = {}
        self._more = 0

    def __bool__(self) -> bool:
        return bool(self._fields)

    def add(self, field: str, problem: str) -> None:
        """Note that this is wrong with a field."""
        if field in self._fields:
            return
        if len(self._fields) < MOST_PROBLEMS:
            self._fields[field] = problem
        else:
            self._more += 1

    def expect(self, holds: bool, field: str, problem: str) -> None:
        """Note the problem unless the condition holds."""
        if not holds:
            self.add(field, problem)

    def refuse(self) -> None:
        """Raise InvalidRequest if anything was noted."""
        if self._fields:
            raise InvalidRequest(self._fields, self._more)


class MalformedMessage(TrivetError):
    """The bytes of a message are not a message of its type."""

    reason = "MALFORMED_MESSAGE"


class MessageTooLarge(TrivetError):
    """A message has more bytes than the server takes: it was not looked into."""

    reason = "MESSAGE_TOO_LARGE"

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"the message has {size:,} bytes, expected at most {limit:,} (server.max_message_bytes)")


class PromptTooLong(TrivetError):
    """The prompt without any passage does not fit into the model's context."""

    reason = "PROMPT_TOO_LONG"


class Unauthenticated(TrivetError):
    """No credential, or one that is not known."""

    reason = "UNAUTHENTICATED"


class PermissionDenied(TrivetError):
    """The credential is known, but may not do this."""

    reason = "PERMISSION_DENIED"


class UnknownRoute(TrivetError):
    """No route of that name. Which there are is the operators' to know (`ListRoutes`)."""

    reason = "UNKNOWN_ROUTE"

    def __init__(self, route: str) -> None:
        super().__init__(f"no route {quote(route)}")


class NotFound(TrivetError):
    """A named thing (adapter, index, receipt, document) does not exist."""

    reason = "NOT_FOUND"


class FailedPrecondition(TrivetError):
    """The thing exists, but is in a state that forbids this."""

    reason = "FAILED_PRECONDITION"


class Conflict(TrivetError):
    """Somebody else has changed the thing meanwhile. `revision`: where it is now."""

    reason = "CONFLICT"

    def __init__(self, message: str, revision: int) -> None:
        self.revision = revision
        super().__init__(message)


class LeaseLost(TrivetError):
    """The right to decide has expired or passed on: nothing was changed."""

    reason = "LEASE_LOST"


class AdapterRejected(TrivetError):
    """An adapter's files did not pass the preflight: says which tensor or field and what was expected.

    The message may quote names out of those files, so it is kept printable and short.
    """

    reason = "ADAPTER_REJECTED"
    longest = 1000

    def __init__(self, message: str) -> None:
        short = shortened(message, self.longest)
        super().__init__("".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in short))


class DocumentRejected(TrivetError):
    """A document cannot be indexed: says why."""

    reason = "DOCUMENT_REJECTED"


class GenerationFailed(TrivetError):
    """The engine is alive, but abandoned this answer or ended it abnormally."""

    reason = "GENERATION_FAILED"


class DocumentDamaged(FailedPrecondition):
    """The content of a document in the log is not what was acknowledged; another upsert or a backup repairs it."""

    reason = "DOCUMENT_DAMAGED"


class Overloaded(TrivetError):
    """The bounded queue is full. `retry_after` in seconds; `subject` and `limit` say which bound."""

    reason = "OVERLOADED"

    def __init__(self, subject: str, limit: int, retry_after: float) -> None:
        super().__init__(f"too many {subject} waiting (limit {limit}); retry in {retry_after:g} s")
        self.subject = subject
        self.limit = limit
        self.retry_after = retry_after


class QuotaExceeded(TrivetError):
    """A tenant would have more than it may: final until it deletes something, or an operator allows more."""

    reason = "QUOTA_EXCEEDED"

    def __init__(self, tenant: str, subject: str, has: int, more: int, limit: int) -> None:
        super().__init__(f"tenant {tenant!r} has {has:,} {subject}, {more:,} more are beyond its quota of {limit:,}")
        self.subject = f"{subject} of tenant {tenant}"
        self.limit = limit


class BudgetExceeded(TrivetError):
    """A limit of the tenant or the key is used up. `retry_after`: seconds until it may be tried again."""

    reason = "BUDGET_EXCEEDED"

    def __init__(self, subject: str, limit: str, retry_after: float) -> None:
        super().__init__(f"the limit of {limit} is reached; retry in {retry_after:,.0f} s")
        self.subject = subject
        self.retry_after = retry_after


class SlowReader(TrivetError):
    """The client did not read its stream for longer than is allowed."""

    reason = "SLOW_READER"


class DeadlineExceeded(TrivetError):
    """The client's deadline, or the route's maximum, has passed."""

    reason = "DEADLINE_EXCEEDED"


class Unavailable(TrivetError):
    """Something that is needed is down for now. `retry_after` in seconds."""

    reason = "UNAVAILABLE"

    def __init__(self, message: str, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class RetrievalUnavailable(Unavailable):
    """The vector engine is down, or did not answer in time."""

    reason = "RETRIEVAL_UNAVAILABLE"


class CollectionMissing(RetrievalUnavailable):
    """The vector engine does not have the collection; one of an index of ours is made again from the log."""

    reason = "COLLECTION_MISSING"


class CollectionUnreadable(RetrievalUnavailable):
    """The vector engine answers, but failed at this collection."""

    reason = "COLLECTION_UNREADABLE"


class RetrievalTimeout(RetrievalUnavailable):
    """The vector engine did not answer within retrieval's own deadline."""

    reason = "RETRIEVAL_TIMEOUT"


class StateUnavailable(Unavailable):
    """The gateway's own state cannot be read or written (a full disk, for instance): nothing has changed."""

    reason = "STATE_UNAVAILABLE"


class AdapterSourceUnavailable(Unavailable):
    """The place that an adapter comes from cannot be read now: down, forbidden, or it broke off."""

    reason = "ADAPTER_SOURCE_UNAVAILABLE"


class BackendUnavailable(Unavailable):
    """The engine died, is starting, or is not ready."""

    reason = "BACKEND_UNAVAILABLE"


class Draining(Unavailable):
    """The server is stopping: what is in flight is finished, nothing new is taken."""

    reason = "DRAINING"


class Unsupported(TrivetError):
    """Part of the contract that this version does not do yet."""

    reason = "UNSUPPORTED"


class ConfigError(TrivetError):
    """The configuration is refused. One line per problem: file, line, field, what was expected.

    Told whole: the file is the operator's own. A status of an RPC shows what fits.
    """

    reason = "CONFIG_INVALID"
    longest = 1 << 20

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class DataFolderInUse(TrivetError):
    """Another process owns the data folder; `pid` is its process id, 0 if unknown."""

    reason = "DATA_FOLDER_IN_USE"

    def __init__(self, folder: str, pid: int) -> None:
        super().__init__(f"the data folder {folder} is in use by process {pid or 'unknown'}")
        self.pid = pid
