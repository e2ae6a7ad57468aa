"""The tables of the state store, the same in SQLite and PostgreSQL. Times are seconds of the store's clock."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)

from trivet.stores.state.bounds import ADDRESS, ID, NAME, WORD
from trivet.types.rollout import ENDED

metadata = MetaData()

routes = Table(
    "route",
    metadata,
    Column("name", String(NAME), primary_key=True),
    Column("revision", BigInteger, nullable=False),
    Column("content_digest", String(ID), nullable=False),
    Column("content_revision", BigInteger, nullable=False),
)

rollouts = Table(
    "rollout",
    metadata,
    Column("id", String(ID), primary_key=True),
    Column("number", BigInteger, nullable=False),  # in the order in which the route's were created
    Column("route", String(NAME), nullable=False),
    Column("spec_digest", String(ID), nullable=False),
    Column("spec", Text, nullable=False),
    Column("salt", String(ID), nullable=False),
    Column("state", String(WORD), nullable=False),
    Column("step", Integer, nullable=False),
    Column("share", Double, nullable=False),
    Column("since", Double, nullable=False),
    Column("judged_since", Double, nullable=False),
    Column("batches", BigInteger, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("fence", BigInteger, nullable=False),
    Column("event", String(WORD), nullable=False),
    Column("reason", String(64), nullable=False),
    Column("message", Text, nullable=False),
    Column("actor", String(NAME), nullable=False),
    Column("changed_at", Double, nullable=False),
    Column("created_at", Double, nullable=False),
    UniqueConstraint("route", "number"),
)

_RUNNING = rollouts.c.state.not_in(sorted(ENDED))
Index("rollout_running", rollouts.c.route, unique=True, sqlite_where=_RUNNING, postgresql_where=_RUNNING)

transitions = Table(
    "transition",
    metadata,
    Column("route", String(NAME), nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("rollout", String(ID), nullable=False),
    Column("fence", BigInteger, nullable=False),
    Column("at", Double, nullable=False),
    Column("event", String(WORD), nullable=False),
    Column("from_state", String(WORD), nullable=False),
    Column("to_state", String(WORD), nullable=False),
    Column("from_step", Integer, nullable=False),
    Column("to_step", Integer, nullable=False),
    Column("share", Double, nullable=False),
    Column("reason", String(64), nullable=False),
    Column("message", Text, nullable=False),
    Column("actor", String(NAME), nullable=False),
    Column("evidence", Text, nullable=False),
    PrimaryKeyConstraint("route", "revision"),
)

leases = Table(
    "lease",
    metadata,
    Column("name", String(NAME), primary_key=True),
    Column("owner", String(NAME), nullable=False),
    Column("fence", BigInteger, nullable=False),
    Column("expires", Double, nullable=False),
)

batches = Table(
    "observation_batch",
    metadata,
    Column("rollout", String(ID), nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("step", Integer, nullable=False),
    Column("gateway", String(NAME), nullable=False),
    Column("epoch", String(ID), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("at", Double, nullable=False),
    Column("data", LargeBinary, nullable=False),
    PrimaryKeyConstraint("rollout", "number"),
    UniqueConstraint("gateway", "epoch", "seq"),
)

gateways = Table(
    "gateway",
    metadata,
    Column("id", String(NAME), primary_key=True),
    Column("epoch", String(ID), nullable=False),
    Column("address", String(ADDRESS), nullable=False),
    Column("heartbeat", Double, nullable=False),
    Column("told", Text, nullable=False),  # JSON: what else it says of itself
)

looks = Table(
    "look",
    metadata,
    Column("rollout", String(ID), primary_key=True),
    Column("at", Double, nullable=False),
    Column("evidence", Text, nullable=False),  # JSON, as in the audit log
)

feedback = Table(
    "feedback",
    metadata,
    Column("tenant", String(NAME), nullable=False),
    Column("request_id", String(NAME), nullable=False),
    Column("number", BigInteger, nullable=False, unique=True),  # grows with each that comes or changes
    Column("score", Double, nullable=True),
    Column("label", String(NAME), nullable=False),
    Column("corrected_text", Text, nullable=False),
    Column("comment", Text, nullable=False),
    Column("at", Double, nullable=False),
    PrimaryKeyConstraint("tenant", "request_id"),
)

counters = Table(
    "counter",
    metadata,
    Column("name", String(NAME), primary_key=True),
    Column("value", BigInteger, nullable=False),
)

desired_adapters = Table(
    "desired_adapter",
    metadata,
    Column("backend", String(NAME), nullable=False),
    Column("name", String(NAME), nullable=False),
    Column("version", String(NAME), nullable=False),
    Column("digest", String(ID), nullable=False),
    Column("recorded", Double, nullable=False),
    PrimaryKeyConstraint("backend", "name", "version"),
)

budget_windows = Table(
    "budget_window",
    metadata,
    Column("limit", String(NAME), nullable=False),
    Column("start", BigInteger, nullable=False),
    Column("end", BigInteger, nullable=False),
    Column("used", BigInteger, nullable=False),
    PrimaryKeyConstraint("limit", "start"),
    Index("budget_window_end", "end"),
)

budget_leases = Table(
    "budget_lease",
    metadata,
    Column("limit", String(NAME), nullable=False),
    Column("start", BigInteger, nullable=False),
    Column("gateway", String(ID), nullable=False),
    Column("number", BigInteger, nullable=False),  # of the gateway's latest message
    Column("spent", BigInteger, nullable=False),
    Column("held", BigInteger, nullable=False),
    Column("expires", Double, nullable=False),
    Column("end", BigInteger, nullable=False),
    PrimaryKeyConstraint("limit", "start", "gateway"),
    Index("budget_lease_end", "end"),
)

interactions = Table(
    "interaction",
    metadata,
    Column("tenant", String(NAME), nullable=False),
    Column("request_id", String(NAME), nullable=False),
    Column("number", BigInteger, nullable=False, unique=True),  # grows with each that is stored
    Column("route", String(NAME), nullable=False),
    Column("variant", String(NAME), nullable=False),
    Column("unit", String(ID), nullable=False),
    Column("at", Double, nullable=False),
    Column("data", LargeBinary, nullable=False),
    PrimaryKeyConstraint("tenant", "request_id"),
    Index("interaction_unit", "tenant", "unit"),
    Index("interaction_number", "tenant", "number"),
    Index("interaction_at", "at"),
)

erasures = Table(
    "erasure",
    metadata,
    Column("tenant", String(NAME), nullable=False),
    Column("what", String(NAME + WORD), nullable=False),  # unit:..., request:..., or *
    Column("at", Double, nullable=False),
    PrimaryKeyConstraint("tenant", "what"),
)

# The document log of gateways that share one, and its snapshots; a single gateway has them in documents.sqlite. Their
# statements are those of that file (`trivet.stores.document_log`), and so are their names.
entries = Table(
    "entries",
    metadata,
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("index_name", Text, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("document_id", Text, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("digest", Text, nullable=False),
    Column("deleted", Boolean, nullable=False),
    Column("origin", Text, nullable=False),
    Column("corpus_digest", Text, nullable=False),
    Column("format", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("tags", Text, nullable=False),
    Column("valid_from", Double, nullable=True),
    Column("valid_until", Double, nullable=True),
    Column("time", Double, nullable=False),
    Column("newest", Boolean, nullable=False),
    Column("fields", Text, nullable=False, server_default="{}"),
    UniqueConstraint("index_name", "tenant", "document_id", "revision"),
)

_NEWEST = text("newest")
Index(
    "newest_of_document", entries.c.index_name, entries.c.tenant, entries.c.document_id, unique=True,
    sqlite_where=_NEWEST, postgresql_where=_NEWEST,
)  # fmt: skip
Index("newest_in_order", entries.c.index_name, entries.c.seq, sqlite_where=_NEWEST, postgresql_where=_NEWEST)

contents = Table(
    "contents",
    metadata,
    Column("seq", BigInteger, ForeignKey("entries.seq"), primary_key=True, autoincrement=False),
    Column("compressed", LargeBinary, nullable=False),
    Column("bytes", BigInteger, nullable=False),
)

usage = Table(
    "usage",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("documents", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
)

snapshots = Table(
    "snapshots",
    metadata,
    Column("index_name", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("state", String(WORD), nullable=False),
    Column("way", Text, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("dimension", Integer, nullable=False),
    Column("applied", BigInteger, nullable=False),
    Column("unoptimised", BigInteger, nullable=False),
    Column("changes", BigInteger, nullable=False),
    PrimaryKeyConstraint("index_name", "name"),
)

for _name, _state in (("one_live", text("state = 'live'")), ("one_building", text("state = 'building'"))):
    Index(_name, snapshots.c.index_name, unique=True, sqlite_where=_state, postgresql_where=_state)

document_indexes = Table(
    "document_index",
    metadata,
    Column("name", Text, primary_key=True),
    Column("closing", BigInteger, nullable=False, server_default="0"),  # the fence of who is about to swap
    Column("source", Text, nullable=False, server_default=""),  # the data folder that it was moved from
    Column("arriving", Boolean, nullable=False, server_default=false()),
)

document_writers = Table(
    "document_writer",
    metadata,
    Column("owner", String(NAME), primary_key=True),
    Column("expires", Double, nullable=False),
)

document_writes = Table(
    "document_write",
    metadata,
    Column("index_name", Text, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("document_id", Text, nullable=False),
    Column("owner", String(NAME), nullable=False),
    Column("seq", BigInteger, nullable=False),  # the entry that is to be applied, 0 if none was logged
    PrimaryKeyConstraint("index_name", "tenant", "document_id"),
)
