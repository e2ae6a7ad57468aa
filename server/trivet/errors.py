"""Domain errors. They know nothing of a transport; `trivet.rpc.status` maps each of them to a gRPC status."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar


class TrivetError(Exception):
    """Base of everything that Trivet itself refuses or fails at.

    `reason` is stable and machine-readable (UPPER_SNAKE_CASE); the message is for people and says what was wrong and
    what was expected. It reaches clients, so it never holds a secret, a path outside the data folder or another
    tenant's data.
    """

    reason: ClassVar[str] = "INTERNAL"


class InvalidRequest(TrivetError):
    """Something in the request is wrong. `fields` maps a field's path to what is wrong with it."""

    reason = "INVALID_REQUEST"

    def __init__(self, fields: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{path}: {problem}" for path, problem in fields.items()))
        self.fields = dict(fields)


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
    """No route of that name. `known` names those that exist."""

    reason = "UNKNOWN_ROUTE"

    def __init__(self, route: str, known: Sequence[str]) -> None:
        super().__init__(f"no route {route!r}; known: {', '.join(sorted(known)) or 'none'}")
        self.route = route


class NotFound(TrivetError):
    """A named thing (adapter, index, receipt, document) does not exist."""

    reason = "NOT_FOUND"


class FailedPrecondition(TrivetError):
    """The thing exists, but is in a state that forbids this."""

    reason = "FAILED_PRECONDITION"


class AdapterRejected(TrivetError):
    """An adapter's files did not pass the preflight: says which tensor or field and what was expected.

    The message may quote names out of those files, so it is kept printable and short.
    """

    reason = "ADAPTER_REJECTED"
    longest: ClassVar[int] = 1000

    def __init__(self, message: str) -> None:
        half = self.longest // 2
        short = message if len(message) <= self.longest else f"{message[:half]} ... {message[-half:]}"
        super().__init__("".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in short))


class DocumentRejected(TrivetError):
    """A document cannot be indexed: says why."""

    reason = "DOCUMENT_REJECTED"


class Overloaded(TrivetError):
    """The bounded queue is full. `retry_after` in seconds; `subject` and `limit` say which bound."""

    reason = "OVERLOADED"

    def __init__(self, subject: str, limit: int, retry_after: float) -> None:
        super().__init__(f"too many {subject} waiting (limit {limit}); retry in {retry_after:g} s")
        self.subject = subject
        self.limit = limit
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


class RetrievalTimeout(RetrievalUnavailable):
    """The vector engine did not answer within retrieval's own deadline."""

    reason = "RETRIEVAL_TIMEOUT"


class StateUnavailable(Unavailable):
    """The gateway's own books cannot be read or written (a full disk, for instance): nothing has changed."""

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
    """The configuration is refused. One line per problem: file, line, field, what was expected."""

    reason = "CONFIG_INVALID"

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class DataFolderInUse(TrivetError):
    """Another process owns the data folder; `pid` is its process id, 0 if unknown."""

    reason = "DATA_FOLDER_IN_USE"

    def __init__(self, folder: str, pid: int) -> None:
        super().__init__(f"the data folder {folder} is in use by process {pid or 'unknown'}")
        self.pid = pid
