"""What the pipeline, the full publish and the control thread need from outside, as protocols.

Fed by: adapters, which fulfil them; tests, with fakes. Feeds: every module of capture that is not an adapter.
Never: names a client library.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from cdc.core.conditions import Report
from cdc.core.debezium_whole import Ours
from cdc.core.diff import Held
from cdc.core.events import Event
from cdc.core.identity import ServerFacts
from cdc.core.plan import TableSpec
from cdc.core.protocol import TakeTail
from cdc.core.records import Record
from cdc.core.resume import Partition
from cdc.core.values import Value
from shared.errors import InvalidError
from shared.model.form import Form
from shared.model.hub import Hub
from shared.model.position import CaptureState, Position, TableId

__all__ = [
    "Binlog",
    "ChangeLog",
    "ChangeStream",
    "Hubs",
    "Login",
    "Logins",
    "Message",
    "MessageReader",
    "Row",
    "Server",
    "SourceIdentity",
    "SourceTopic",
    "SourceTopicFacts",
    "StateStore",
    "StreamOrder",
    "TableReader",
    "Tables",
    "Tls",
    "TopicFacts",
    "TopicKeys",
    "TopicTails",
    "Topics",
]

Row = dict[str, Value]


@dataclass(frozen=True, slots=True)
class Tls:
    """How a connection to a server is encrypted; texts are PEM, empty for none."""

    mode: str
    """`Disabled`, `Required` (encrypted, nothing is verified), `VerifyCA` or `VerifyIdentity` (its host name too)."""
    ca: str = field(default="", repr=False)
    """Authorities that are trusted; none: the system's."""
    certificate: str = field(default="", repr=False)
    """Of the client."""
    key: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Login:
    """An account on one server."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    tls: Tls | None = None
    """None: encrypted where the server offers it, nothing is verified."""


class Hubs(Protocol):
    """The cluster, as far as the control thread needs it."""

    def hubs(self, server: str = "") -> list[Hub]:
        """Hubs of the server, oldest first."""
        ...

    def forms(self) -> list[Form]:
        """All forms."""
        ...

    def report(self, hub: Hub, report: Report) -> None:
        """Write the status when it is news. Raises ClusterError."""
        ...


class Logins(Protocol):
    """The accounts of hubs."""

    def login(self, hub: Hub) -> Login:
        """The account, read anew. Raises SourceRefused (SecretMissing), ClusterError."""
        ...

    def secrets_version(self, hub: Hub) -> str:
        """Another text when a Secret that the hub names has changed. Raises ClusterError."""
        ...


@dataclass(frozen=True, slots=True)
class StreamOrder:
    """What to stream."""

    login: Login
    position: Position
    tables: Mapping[TableId, TableSpec]
    replica_id: int
    """server_id to register with; unique among the server's replicas."""


class ChangeStream(Protocol):
    """An open binlog stream; iterating blocks, and ends only by an error or by `wake`."""

    def __iter__(self) -> Iterator[Iterable[Event]]:
        """Events in log order, those that came together; each lot is to be used up before the next.

        Raises SourceUnreachable when the connection is lost, SourceError otherwise; so do the lots.
        """
        ...

    def wake(self) -> None:
        """End the iteration at once, from any thread, with SourceUnreachable."""
        ...


class Server(Protocol):
    """A database server, asked by queries of our own."""

    def facts(self, login: Login, floor_file: str) -> ServerFacts:
        """Identity and sets, asked anew, and what is known of that binlog file (empty: of none). Raises SourceError."""
        ...

    def created_s(self, login: Login, file: str) -> int:
        """When the binlog file was begun, seconds since 1970; 0 when it is not told. Raises SourceError."""
        ...


class Binlog(Protocol):
    """A server's binlog."""

    def open(self, order: StreamOrder) -> AbstractContextManager[ChangeStream]:
        """Connect. Raises SourceError."""
        ...


class TableReader(Protocol):
    """A connection that reads one table in key order."""

    def server_uuid(self) -> str:
        """Of the server that it reads from, as in ServerFacts. Raises SourceError."""
        ...

    def wait_visible(self, passed: Position) -> None:
        """Return when a SELECT sees every transaction of `passed`. Raises SourceError."""
        ...

    def chunk(self, after: object | None, limit: int) -> tuple[Sequence[tuple[str, Row | InvalidError]], object | None]:
        """Up to `limit` (uid text, row) behind the key `after`, and the last key (None: nothing is left).

        In place of a row that cannot be told as it is stands the error. Raises SourceError, InvalidError.
        """
        ...

    def log_end(self) -> tuple[int, int]:
        """(file number, offset) of the end of the server's log now."""
        ...

    def rows_of(self, uids: Collection[str]) -> Sequence[tuple[str, Row | InvalidError]]:
        """(uid text, row) of those of the uid texts that the table holds now, as `chunk` has them."""
        ...


class Tables(Protocol):
    """Opens table readers."""

    def open(self, login: Login, spec: TableSpec, log_login: Login) -> AbstractContextManager[TableReader]:
        """`login` may read the table, `log_login` may ask where the log ends. Raises SourceError."""
        ...


class ChangeLog(Protocol):
    """The change topics, for writing."""

    def publish(self, records: Sequence[Record], position: Position) -> int:
        """Hand over the records of one step of the log; blocks while too much is in flight. Its entry's index."""
        ...

    def wait_stored(self, entry: int, timeout_s: float) -> bool:
        """Whether the entry and all before it are stored, within the time."""
        ...

    def drain(self, timeout_s: float) -> bool:
        """Whether everything that was handed over is stored, within the time."""
        ...

    def floor(self) -> Position | None:
        """The last position that is stored together with all before it."""
        ...


class TopicTails(Protocol):
    """The ends of the change topics, read backwards."""

    def read_back(self, partitions: Iterable[Partition], take: TakeTail) -> None:
        """Hand each partition's records to `take`, newest first, until it says that it is enough. Raises LogError."""
        ...


class TopicKeys(Protocol):
    """The change topics, for reading back."""

    def held(self, topic: str) -> Iterator[Held]:
        """Every record of the topic up to now that a consumer would not drop as old, in order. Raises LogError."""
        ...

    def highest_incarnation(self, topic: str) -> int:
        """Of any record of the topic; 0 for an empty or missing one. Raises LogError."""
        ...


@dataclass(frozen=True, slots=True)
class TopicFacts:
    """A change topic as Kafka knows it."""

    partitions: int
    topic_id: str
    """Another one when the topic was deleted and made again."""
    retention_s: float
    """How long it keeps a record; infinite when it keeps all."""


class Topics(Protocol):
    """Creation of topics."""

    def ensure_table_topic(self, topic: str, partitions: int) -> TopicFacts:
        """Create the topic, with so many partitions, unless it exists. Raises LogError."""
        ...


class StateStore(Protocol):
    """One server's records in the state topic."""

    def load(self) -> list[CaptureState]:
        """All of them, in log order. Raises LogError."""
        ...

    def append(self, state: CaptureState) -> None:
        """Return when the record is stored. Raises LogError."""
        ...


# -- a Debezium topic in a database's place --------------------------------------------------------------------------


class Message(NamedTuple):
    """A message of the source topic."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None


class SourceIdentity(NamedTuple):
    """Which topic the source is."""

    topic_id: str
    """Another one when the topic was deleted and made again; empty when it does not exist."""
    partitions: int


@dataclass(frozen=True, slots=True)
class SourceTopicFacts:
    """The source topic as Kafka knows it."""

    identity: SourceIdentity
    forgets: str
    """Why it does not keep the last message of every key, in words; empty when it does."""


class MessageReader(Protocol):
    """The source topic, read on and on; used by one thread."""

    def poll(self, timeout_s: float) -> Sequence[Message]:
        """What has come, in each partition in order. Raises SourceUnreachable, LogError."""
        ...

    def passed(self) -> Mapping[int, int]:
        """Partition to the last offset before which nothing is still to come from `poll`; -1 before the first."""
        ...


class SourceTopic(Protocol):
    """A Debezium topic and, to compare, ours."""

    def facts(self) -> SourceTopicFacts:
        """Asked anew. Raises SourceUnreachable (TopicMissing), LogError."""
        ...

    def identity(self) -> SourceIdentity:
        """That alone, asked anew. Raises LogError."""
        ...

    def bounds(self) -> tuple[Mapping[int, int], Mapping[int, int]]:
        """(first offset, offset behind the last committed message) of each partition. Raises LogError."""
        ...

    def open(self, offsets: Mapping[int, int]) -> AbstractContextManager[MessageReader]:
        """Read on from these offsets. Raises LogError."""
        ...

    def between(self, begins: Mapping[int, int], ends: Mapping[int, int]) -> Iterator[Sequence[Message]]:
        """All messages from `begins` and below `ends`, in each partition in order. Raises LogError."""
        ...

    def ours(self, topic: str) -> Iterator[Sequence[Ours]]:
        """Every record of our topic up to now that a consumer would not drop as old, in order. Raises LogError."""
        ...
