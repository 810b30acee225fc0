"""Records as they go to Kafka: envelope, key, partition and headers of a change, of a row that was read, of a mark.

Fed by: folded changes, rows of a full publish. Feeds: the publisher. Never: picks a version; its callers do.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from cdc.core.events import new
from cdc.core.plan import TableSpec
from cdc.core.transaction import BULK_ROWS, Change, Transaction
from shared.model.envelope import (
    Envelope,
    EnvelopeFrame,
    Op,
    Row,
    Source,
    decode,
    encode_key,
    encode_text,
)
from shared.model.names import HEADER_BULK, HEADER_CONTROL, HEADER_DEAD, HEADER_READERS, HEADER_VERSION, partition_of
from shared.model.position import Flavour, Position, TableId, file_number
from shared.model.version import KIND_CHANGE, KIND_READ, Version

__all__ = [
    "DEAD_PARTITIONS",
    "ChangeSite",
    "Origin",
    "ReadSite",
    "Record",
    "Rows",
    "Told",
    "change_record",
    "change_version",
    "control_record",
    "dead_records",
    "polled_version",
    "read_record",
    "read_version",
    "sizes_bytes",
    "without_before",
]

DEAD_PARTITIONS: Final = 256
"""Of the topic of dead letters."""
_OVERHEAD_BYTES = 100
"""Batch header and record framing, rounded up (Kafka documentation, "Message Format")."""


Told = tuple[TableId, str, bytes | None]
"""(table, uid, digest of the row as it is now; None: there is none)."""
Rows = tuple[bytes, bytes]
"""JSON of the row before and after."""


class Record(NamedTuple):
    """One record, ready to be sent."""

    topic: str
    partition: int
    key: bytes | None
    """None for a control record."""
    value: bytes | None
    """None for the mark of a dead letter."""
    headers: tuple[tuple[str, bytes], ...]
    uid: str
    """For messages about the record."""

    @property
    def size_bytes(self) -> int:
        """Bytes of a batch that holds this record alone, rounded up."""
        return sizes_bytes((self,))[0]


def sizes_bytes(records: Iterable[Record]) -> list[int]:
    """`size_bytes` of each."""
    sizes: list[int] = []
    for _, _, key, value, headers, _ in records:
        size = _OVERHEAD_BYTES + (len(key) if key else 0) + (len(value) if value else 0)
        for name, content in headers:
            size += len(name) + len(content) + 10
        sizes.append(size)
    return sizes


@dataclass(frozen=True, slots=True)
class Origin:
    """What all records of a capture share."""

    server: str
    """`host:port`."""
    flavour: Flavour
    incarnation: int
    epoch: int


class ReadSite(NamedTuple):
    """What the rows of one step of a full publish share."""

    origin: Origin
    spec: TableSpec
    partitions: int
    file: str
    """Binlog file of the position that the stream had passed."""
    now_ms: int


class ChangeSite:
    """What the changes of one table share while its stream lasts."""

    __slots__ = ("frame", "origin", "partitions", "spec")

    def __init__(self, origin: Origin, spec: TableSpec, partitions: int) -> None:
        """`partitions` of the table's topic."""
        self.origin = origin
        self.spec = spec
        self.partitions = partitions
        self.frame = EnvelopeFrame(origin.flavour.value, origin.server, *spec.id)


def change_version(origin: Origin, transaction: Transaction, change: Change) -> Version:
    """Version of a row change."""
    number = file_number(transaction.file)
    return new(Version, (origin.incarnation, number, transaction.offset, KIND_CHANGE, change.ordinal, change.b))


def read_version(origin: Origin, passed: Position, counter: int) -> Version:
    """Version of a row that was read when the stream had passed `passed`."""
    return Version(origin.incarnation, file_number(passed.file), passed.offset, KIND_READ, origin.epoch, counter)


def polled_version(origin: Origin, counter: int) -> Version:
    """Version of a row of a table that is polled: below every version that a stream of the same incarnation gives."""
    return Version(origin.incarnation, 0, 0, KIND_READ, origin.epoch, counter)


def control_record(topic: str, partition: int, version: Version, reason: str, readers: Sequence[str] = ()) -> Record:
    """A mark in a partition, without a key: what follows, and with a version below it, is old.

    Its value is empty and not absent, since a client refuses to send a record that has neither. `readers`: uids of the
    hubs and forms for which all rows follow; who does not know one of them yet waits for it.
    """
    headers = [(HEADER_VERSION, version.text().encode("ascii")), (HEADER_CONTROL, reason.encode())]
    if readers:
        headers.append((HEADER_READERS, ",".join(readers).encode()))
    return Record(topic=topic, partition=partition, key=None, value=b"", headers=tuple(headers), uid="")


def change_record(
    site: ChangeSite, transaction: Transaction, change: Change, place: tuple[int, Version], rows: Rows, now_ms: int
) -> Record:
    """The record of one folded change, which goes to that partition with that version.

    `rows` are the change's; `now_ms` is when capture handles it, milliseconds since 1970.
    """
    partition, version = place
    headers: tuple[tuple[str, bytes], ...] = ((HEADER_VERSION, version.text().encode()),)
    if len(transaction.changes) > BULK_ROWS:
        headers = (*headers, (HEADER_BULK, b"1"))
    _, uid, op, _, _, ordinal, _ = change
    where = encode_text(transaction.gtid), encode_text(transaction.file), transaction.offset, ordinal
    value = site.frame.encode(op, rows, where, (transaction.ts_s * 1000, now_ms))
    spec = site.spec
    return new(Record, (spec.topic, partition, encode_key(spec.uid_column, uid), value, headers, uid))


def read_record(site: ReadSite, uid: str, row: Row | None, version: Version) -> Record:
    """The record of a row that was read (`r`), or, without a row, of a key that the table no longer holds (`d`)."""
    origin, spec = site.origin, site.spec
    source = Source(
        connector=origin.flavour.value,
        server=origin.server,
        db=spec.id.database,
        table=spec.id.table,
        gtid="",
        file=site.file,
        pos=version.offset,
        row=0,
        ts_ms=site.now_ms,
        snapshot=True,
    )
    op = Op.DELETE if row is None else Op.READ
    before: Row | None = {spec.uid_column: uid} if row is None else None
    headers = ((HEADER_VERSION, version.text().encode("ascii")),)
    value = Envelope(op, before, row, source, site.now_ms).encode()
    return Record(spec.topic, partition_of(uid, site.partitions), encode_key(spec.uid_column, uid), value, headers, uid)


def dead_records(record: Record, reason: str, topic: str) -> tuple[Record, Record]:
    """In place of a record that cannot be published: a letter for the topic of dead letters, and a mark of its version.

    The letter says what is known but the row; the mark has no value, so a consumer that does not know it passes it by.
    """
    version = dict(record.headers)[HEADER_VERSION].decode("ascii")
    source = {} if record.value is None else json.loads(record.value)["source"]
    letter = {
        "reason": reason,
        "topic": record.topic,
        "partition": record.partition,
        "version": version,
        "bytes": record.size_bytes,
        "source": source,
    }
    value = json.dumps(letter, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
    headers = ((HEADER_VERSION, version.encode("ascii")), (HEADER_DEAD, reason.encode("utf-8", "surrogatepass")))
    partition = partition_of(record.uid, DEAD_PARTITIONS)
    return (
        Record(topic, partition, record.key, value, headers, record.uid),
        Record(record.topic, record.partition, record.key, None, headers, record.uid),
    )


def without_before(record: Record) -> Record:
    """The record of a change without the row as it was: where both do not fit, what the row is now matters.

    Of a delete only the uid is left, as in the record of a key that a read did not find.
    """
    if not record.value or record.key is None:
        return record
    envelope = decode(record.value)
    before = json.loads(record.key) if envelope.op is Op.DELETE else None
    return record._replace(value=envelope._replace(before=before).encode())
