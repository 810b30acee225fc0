"""Events of the log to events of capture: the one place that knows which types exist and what each means.

Whatever could carry rows comes out as rows, as rows with a flaw, or as Unreadable; a type that is not known and not
flagged as ignorable counts as such. Offsets are 64 bits wide and counted from the headers' 32.
Fed by: packets, in order. Feeds: the pipeline's events. Never: skips in silence, or performs I/O.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final
from zlib import crc32

from cdc.binlog import bodies
from cdc.binlog.codes import IGNORABLE, Code
from cdc.binlog.inflate import event_pieces, payload_chunks, unpacked
from cdc.binlog.packets import Span
from cdc.binlog.rows import DECODE_ERRORS, RowsKind, Shape, Tables, Wanted
from cdc.core.events import Beat, Begin, End, Event, Prepare, Rotate, Statement, Unreadable, Whole, new
from cdc.core.tagged import gtid_of_event
from shared.errors import InvalidError
from shared.model.position import TableId

__all__ = ["EventDecoder"]

Head = tuple[int, int, int, int, int, int]
"""Time in seconds, type code, server id, size with header and checksum, log_pos, flags."""
_Handler = Callable[[bytes, int, int, Head], Iterable[Event]]

_HEAD_BYTES = 19
_CODE_AT = 4
_TEXT_AT = _HEAD_BYTES + bodies.SESSION_BYTES
_WHOLE_EVENTS = 5
_LOG_POS_AT = 13
_read_log_pos = struct.Struct("<I").unpack_from
_GTID_BYTES = _HEAD_BYTES + 25 + 4
"""At least, with checksum."""
_BEGINS_KEPT = 256
_read_head = struct.Struct("<IBIIIH").unpack_from
_CHECKSUM = 4
_RESIDUE = 0x2144DF1C
"""CRC32 of any bytes with their own CRC32 behind them, little-endian."""
_RESIDUES = [_RESIDUE] * _WHOLE_EVENTS
_NOTHING: Final[tuple[Event, ...]] = ()
_HARMLESS = (
    Code.STOP,
    Code.INTVAR,
    Code.RAND,
    Code.USER_VAR,
    Code.ROWS_QUERY,
    Code.PREVIOUS_GTIDS,
    Code.TRANSACTION_CONTEXT,
    Code.VIEW_CHANGE,
    Code.MARIADB_ANNOTATE_ROWS,
    Code.MARIADB_CHECKPOINT,
    Code.MARIADB_START_ENCRYPTION,
)
"""No rows, and nothing that says where a transaction begins or ends."""
_LOST = {
    Code.INCIDENT: "the server reports an incident: changes may be missing from its log",
    Code.BEGIN_LOAD_QUERY: "LOAD DATA was logged as a statement",
    Code.EXECUTE_LOAD_QUERY: "LOAD DATA was logged as a statement",
}
_MADE_FOR_US = frozenset((Code.ROTATE, Code.HEARTBEAT, Code.HEARTBEAT_V2, Code.FORMAT_DESCRIPTION))
"""Sent between files, where the checksums of the file that was sent last need not hold."""
_WRITE, _UPDATE, _DELETE = RowsKind(Shape.WRITE), RowsKind(Shape.UPDATE), RowsKind(Shape.DELETE)
_ROWS = {
    Code.WRITE_ROWS_V1: replace(_WRITE, has_extra=False),
    Code.UPDATE_ROWS_V1: replace(_UPDATE, has_extra=False),
    Code.DELETE_ROWS_V1: replace(_DELETE, has_extra=False),
    Code.WRITE_ROWS: _WRITE,
    Code.UPDATE_ROWS: _UPDATE,
    Code.DELETE_ROWS: _DELETE,
    Code.PARTIAL_UPDATE_ROWS: RowsKind(Shape.PARTIAL_UPDATE),
    Code.MARIADB_WRITE_ROWS_V1_COMPRESSED: replace(_WRITE, has_extra=False, unpack=unpacked),
    Code.MARIADB_UPDATE_ROWS_V1_COMPRESSED: replace(_UPDATE, has_extra=False, unpack=unpacked),
    Code.MARIADB_DELETE_ROWS_V1_COMPRESSED: replace(_DELETE, has_extra=False, unpack=unpacked),
    Code.MARIADB_WRITE_ROWS_COMPRESSED: replace(_WRITE, unpack=unpacked),
    Code.MARIADB_UPDATE_ROWS_COMPRESSED: replace(_UPDATE, unpack=unpacked),
    Code.MARIADB_DELETE_ROWS_COMPRESSED: replace(_DELETE, unpack=unpacked),
}


_WHOLES = {bytes((Code.GTID, Code.QUERY, Code.TABLE_MAP, code, Code.XID)): kind for code, kind in _ROWS.items()}
"""The types of the events of a transaction that changes one table by one event."""


class EventDecoder:
    """One stream's decoder. `file` is the log file until the first rotation names another."""

    def __init__(self, file: str, tables: Mapping[TableId, Wanted], charsets: Mapping[int, str]) -> None:
        self._file = file
        self._end = 0
        self._is_checked = False
        self._begins: set[bytes] = set()
        """What stands behind the session in a statement that is BEGIN; mostly the same."""
        self._tables = Tables(tables, charsets)
        in_payload: dict[Code, _Handler] = {
            Code.QUERY: self._statement,
            Code.MARIADB_QUERY_COMPRESSED: self._compressed_statement,
            Code.XID: self._commit,
            Code.XA_PREPARE: self._prepare,
            Code.TABLE_MAP: self._table_map,
            **dict.fromkeys(_HARMLESS, self._nothing),
            **{code: partial(self._tables.rows, kind) for code, kind in _ROWS.items()},
            **{code: partial(self._lost, reason) for code, reason in _LOST.items()},
        }
        handlers: dict[Code, _Handler] = {
            **in_payload,
            Code.FORMAT_DESCRIPTION: self._format,
            Code.ROTATE: self._rotate,
            Code.HEARTBEAT: self._beat,
            Code.HEARTBEAT_V2: self._beat_v2,
            Code.GTID: self._begin,
            Code.ANONYMOUS_GTID: self._begin_anonymous,
            Code.GTID_TAGGED: self._begin_tagged,
            Code.MARIADB_GTID: self._begin_mariadb,
            Code.MARIADB_GTID_LIST: self._gtid_list,
            Code.TRANSACTION_PAYLOAD: self._payload,
        }
        self._in_payload = {int(code): handler for code, handler in in_payload.items()}
        self._handlers = {int(code): handler for code, handler in handlers.items()}

    def set_tables(self, tables: Mapping[TableId, Wanted]) -> None:
        """From the next table map on, read these columns."""
        self._tables.set_wanted(tables)

    @property
    def place(self) -> str:
        """File and offset behind the last event, for messages."""
        return f"{self._file}:{self._end}"

    def decode(self, data: bytes, spans: Sequence[Span]) -> Iterator[Event]:
        """What the events at these places of `data` say; to be used up before the next call.

        Raises InvalidError when the bytes are not an event at all, or not those that the server wrote.
        """
        number, wholes = 0, len(spans) - _WHOLE_EVENTS
        has_codes = wholes >= 0 and spans[-1][0] + _CODE_AT < len(data)
        codes = bytes([data[at + _CODE_AT] for at, _ in spans]) if has_codes else b""
        while number < len(spans):
            at, end = spans[number]
            if number <= wholes and self._is_checked:
                kind = _WHOLES.get(codes[number : number + _WHOLE_EVENTS])
                whole = kind and self._whole(kind, data, spans[number : number + _WHOLE_EVENTS])
                if whole:
                    yield whole
                    number += _WHOLE_EVENTS
                    continue
            yield from self._one(data, at, end)
            number += 1

    def _one(self, data: bytes, at: int, end: int) -> Iterable[Event]:
        if end - at < _HEAD_BYTES:
            raise InvalidError("an event is shorter than its header")
        head = _read_head(data, at)
        _, code, _, size, log_pos, _ = head
        if size != end - at:
            raise InvalidError(f"an event of {end - at} bytes says that it has {size}")
        if self._is_checked:
            if crc32(data[at:end]) == _RESIDUE:
                end -= _CHECKSUM
            elif code not in _MADE_FOR_US:
                raise InvalidError("an event does not have the checksum that it names")
        if log_pos > self._end:
            self._end = log_pos
        elif log_pos:
            self._move(log_pos)
        handler = self._handlers.get(code)
        if handler is None:
            return self._unknown(code, head)
        try:
            return handler(data, at + _HEAD_BYTES, end, head)
        except DECODE_ERRORS as error:
            return (Unreadable(f"an event of type {code} cannot be decoded: {_words(error)}", self._end),)

    def _whole(self, kind: RowsKind, data: bytes, spans: Sequence[Span]) -> Whole | None:
        """A transaction of MySQL: GTID, BEGIN, table map, rows, XID; the statement and the map are known already.

        None when it is not exactly that; nothing has been noted then, and each event is to be looked at by itself.
        """
        if [crc32(data[at:end]) for at, end in spans] != _RESIDUES:
            return None
        (gtid, gtid_end), (query, query_end), (table, table_end), (rows, rows_end), (xid, xid_end) = spans
        if gtid_end - gtid < _GTID_BYTES or xid_end - xid < _HEAD_BYTES:
            return None
        if data[query + _TEXT_AT : query_end - _CHECKSUM] not in self._begins:
            return None
        ts_s, _, _, size, begin_end, _ = _read_head(data, gtid)
        (end,) = _read_log_pos(data, xid + _LOG_POS_AT)
        if not self._end < begin_end < end:  # as long as offsets have 32 bits
            return None
        body = data[table + _HEAD_BYTES : table_end - _CHECKSUM]
        found = self._tables.rows_under(body, kind, data, rows + _HEAD_BYTES, rows_end - _CHECKSUM)
        if found is None:
            return None
        self._end = end
        name = bodies.mysql_gtid(data, gtid + _HEAD_BYTES, gtid_end - _CHECKSUM)
        begin = new(Begin, (name, self._file, begin_end - size, begin_end, ts_s, False))
        return new(Whole, (begin, found, end))

    def _move(self, log_pos: int) -> None:
        """64-bit offset from the header's 32 bits, behind 4 GiB; who names an earlier place leaves it where it is."""
        offset = (self._end & ~0xFFFFFFFF) | log_pos
        if offset < self._end and self._end - offset > 0x7FFFFFFF:
            offset += 1 << 32
        self._end = max(self._end, offset)

    # -- files -----------------------------------------------------------------------------------------------------

    def _format(self, data: bytes, at: int, _end: int, head: Head) -> Iterable[Event]:
        end = at - _HEAD_BYTES + head[3]
        self._is_checked, is_mariadb = bodies.format_description(data, at, end)
        self._tables.forget(is_mariadb=is_mariadb)
        return _NOTHING

    def _rotate(self, data: bytes, at: int, end: int, _head: Head) -> Iterable[Event]:
        if not self._is_checked and crc32(data[at - _HEAD_BYTES : end]) == _RESIDUE:
            end -= _CHECKSUM
        self._file, offset = bodies.rotation(data, at, end)
        self._end = 0
        return (Rotate(self._file, offset),)

    def _beat(self, _data: bytes, _at: int, _end: int, head: Head) -> Iterable[Event]:
        return (Beat(self._file, self._end),) if head[4] else _NOTHING

    def _beat_v2(self, data: bytes, at: int, end: int, _head: Head) -> Iterable[Event]:
        position = bodies.beat_position(data, at, end)
        if position is None:
            return _NOTHING
        self._end = max(self._end, position)
        return (Beat(self._file, self._end),)

    def _gtid_list(self, _data: bytes, _at: int, _end: int, head: Head) -> Iterable[Event]:
        """In the middle of a file it is made for us, and says like a heartbeat how far the log was sent."""
        return (Beat(self._file, self._end),) if head[0] == 0 and head[4] else _NOTHING

    # -- transactions ----------------------------------------------------------------------------------------------

    def _begin(self, data: bytes, at: int, end: int, head: Head) -> Iterable[Event]:
        gtid = bodies.mysql_gtid(data, at, end)
        return (Begin(gtid, self._file, self._end - head[3], self._end, head[0], False),)

    def _begin_anonymous(self, _data: bytes, _at: int, _end: int, head: Head) -> Iterable[Event]:
        return (Begin("", self._file, self._end - head[3], self._end, head[0], False),)

    def _begin_tagged(self, data: bytes, at: int, end: int, head: Head) -> Iterable[Event]:
        gtid = gtid_of_event(data[at:end])
        return (Begin(gtid, self._file, self._end - head[3], self._end, head[0], False),)

    def _begin_mariadb(self, data: bytes, at: int, end: int, head: Head) -> Iterable[Event]:
        domain, sequence, opens_block = bodies.mariadb_begin(data, at, end)
        gtid = f"{domain}-{head[2]}-{sequence}"
        return (Begin(gtid, self._file, self._end - head[3], self._end, head[0], opens_block),)

    def _statement(self, data: bytes, at: int, end: int, _head: Head) -> Iterable[Event]:
        database, text = bodies.statement(data, at, end)
        if text == "BEGIN" and len(self._begins) < _BEGINS_KEPT:
            self._begins.add(data[at + bodies.SESSION_BYTES : end])
        return (Statement(database, text, self._end),)

    def _compressed_statement(self, data: bytes, at: int, end: int, _head: Head) -> Iterable[Event]:
        database, text = bodies.compressed_statement(data, at, end)
        return (Statement(database, text, self._end),)

    def _commit(self, _data: bytes, _at: int, _end: int, _head: Head) -> Iterable[Event]:
        return (End(self._end),)

    def _prepare(self, data: bytes, at: int, end: int, _head: Head) -> Iterable[Event]:
        xid, one_phase = bodies.xa_prepare(data, at, end)
        return (Prepare(xid, one_phase, self._end),)

    def _payload(self, data: bytes, at: int, end: int, _head: Head) -> Iterator[Event]:
        """A compressed transaction: its events have no checksums, and no places of their own in the log.

        If one of them cannot be read, where the transaction ends is not known either: it ends here.
        """
        try:
            for piece in event_pieces(payload_chunks(data[at:end])):
                head = _read_head(piece, 0)
                handler = self._in_payload.get(head[1])
                if handler is None:
                    yield from self._unknown(head[1], head)
                else:
                    yield from handler(piece, _HEAD_BYTES, len(piece), head)
        except DECODE_ERRORS as error:
            yield Unreadable(f"a compressed transaction cannot be decoded: {_words(error)}", self._end)
            yield End(self._end)

    # -- tables, and the rest --------------------------------------------------------------------------------------

    def _table_map(self, data: bytes, at: int, end: int, _head: Head) -> Iterable[Event]:
        self._tables.see(data[at:end])
        return _NOTHING

    def _nothing(self, _data: bytes, _at: int, _end: int, _head: Head) -> Iterable[Event]:
        return _NOTHING

    def _lost(self, reason: str, _data: bytes, _at: int, _end: int, _head: Head) -> Iterable[Event]:
        return (Unreadable(reason, self._end),)

    def _unknown(self, code: int, head: Head) -> Iterable[Event]:
        return _NOTHING if head[5] & IGNORABLE else (Unreadable(f"event type {code} is not known", self._end),)


def _words(error: Exception) -> str:
    return error.text if isinstance(error, InvalidError) else type(error).__name__
