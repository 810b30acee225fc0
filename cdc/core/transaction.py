"""Fold the events of one transaction into the records that say what it did, at its end and not before.

Per key: delete then insert is an update; a changed uid is a delete of the old key and a create of the new one; what
came and went inside is nothing; an update of unpublished columns only is nothing. Whatever could carry rows and was
not understood names the tables that must be read anew.
Fed by: binlog events in log order. Feeds: the pipeline. Never: drops an event without a reason in `unread`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from cdc.core.events import Begin, End, Event, Image, Prepare, Rows, Statement, Unreadable, Whole, new
from cdc.core.statements import Role, affected, plain, role_of, xa_id
from cdc.core.values import Value, key_text
from shared.errors import InvalidError
from shared.model.envelope import Op, Row
from shared.model.position import TableId

__all__ = ["BULK_ROWS", "LARGEST_ROWS", "Change", "Transaction", "TransactionFold"]

BULK_ROWS = 100
"""A transaction with more records than this is bulk: single changes overtake it downstream."""
LARGEST_ROWS = 50_000
"""A transaction that changes more keys is not held in memory until it commits: its tables are compared instead."""


_NONE_UNREAD: Mapping[TableId, str] = MappingProxyType({})
_CREATE, _UPDATE, _DELETE = Op.CREATE, Op.UPDATE, Op.DELETE


class Change(NamedTuple):
    """What a transaction did to one key."""

    table: TableId
    uid: str
    op: Op
    before: Row | None
    after: Row | None
    ordinal: int
    """Of the row among its table's rows in the transaction, from 0."""
    b: int
    """1 for the second record of a changed uid, else 0."""


class Transaction(NamedTuple):
    """A committed transaction."""

    gtid: str
    file: str
    offset: int
    end: int
    ts_s: int
    changes: tuple[Change, ...]
    """In publishing order."""
    unread: Mapping[TableId, str] = _NONE_UNREAD
    """Tables that must be read anew, and why."""

    @property
    def is_bulk(self) -> bool:
        """Whether single changes should overtake this one."""
        return len(self.changes) > BULK_ROWS


class _Key(NamedTuple):
    table: TableId
    uid: str


@dataclass(slots=True)
class _Fate:
    """First image before and last image after, of one key in one transaction."""

    before: Row | None
    after: Row | None
    order: tuple[int, int]


@dataclass(slots=True)
class _Open:
    begin: Begin
    is_block: bool
    fates: dict[_Key, _Fate]
    ordinals: dict[TableId, int]
    unread: dict[TableId, str]
    end: int


class TransactionFold:
    """Feed events; a Transaction comes out at each commit. `tables` names the uid column of every captured table."""

    def __init__(self, tables: Mapping[TableId, str]) -> None:
        self._tables = dict(tables)
        self._open: _Open | None = None
        self._prepared: dict[str, frozenset[TableId]] = {}
        self._unread_outside: dict[TableId, str] = {}

    @property
    def is_open(self) -> bool:
        """Whether a transaction has begun and not ended."""
        return self._open is not None

    def feed(self, event: Event) -> Transaction | None:
        """One event further; the transaction that it ends, if any. Rotate and Beat do not concern the fold."""
        match event:
            case Whole():
                return self._whole(event)
            case Rows():
                self._rows(event)
            case End():
                return self._close(event.end)
            case Begin():
                self._void("a transaction before did not end in the log")
                unread = self._unread_outside if self._open is None else self._open.unread
                self._open = _Open(event, event.opens_block, {}, {}, unread, event.end)
                self._unread_outside = {}
            case Statement():
                return self._statement(event)
            case Prepare():
                return self._prepare(event)
            case Unreadable():
                self._all_unread(event.reason)
                open_ = self._open
                if open_ is None or not open_.is_block:
                    return self._close(event.end)
            case _:
                pass
        return None

    def _whole(self, event: Whole) -> Transaction | None:
        """The same as its events would give one by one; without the detour where it is one row, as mostly."""
        begin, (table, images, flaw), end = event
        if self._open is None and not self._unread_outside and len(images) == 1 and not flaw:
            uid_column = self._tables.get(table)
            changes = () if uid_column is None else _alone(table, uid_column, images[0])
            if changes is not None:
                gtid, file, offset, _, ts_s, _ = begin
                return new(Transaction, (gtid, file, offset, end, ts_s, changes, _NONE_UNREAD))
        self.feed(begin)
        self.feed(event.rows)
        return self._close(end)

    # -- rows ------------------------------------------------------------------------------------------------------

    def _rows(self, event: Rows) -> None:
        if event.table not in self._tables:
            return
        if self._open is None:
            raise InvalidError(f"rows of {event.table} stand outside a transaction")
        if event.table in self._open.unread:
            return
        if event.flaw:
            self._open.unread[event.table] = event.flaw
            return
        uid_column, open_ = self._tables[event.table], self._open
        ordinal = open_.ordinals.get(event.table, 0)
        for image in event.images:
            try:
                self._image(event.table, uid_column, image, ordinal)
            except KeyError:
                open_.unread[event.table] = f"column {uid_column} is not in the binlog's row"
            except InvalidError as error:
                open_.unread[event.table] = error.text
            ordinal += 1
        open_.ordinals[event.table] = ordinal
        if len(self._open.fates) > LARGEST_ROWS:
            self._void(f"a transaction changed more than {LARGEST_ROWS:,} rows")

    def _image(self, table: TableId, uid_column: str, image: Image, ordinal: int) -> None:
        before, after = image
        old = None if before is None else _Key(table, key_text(_value(before, uid_column)))
        if old is not None and after is not None and before is not None and after[uid_column] == before[uid_column]:
            self._touch(old, before, after, (ordinal, 0))
            return
        new = None if after is None else _Key(table, key_text(_value(after, uid_column)))
        if old is not None:
            self._touch(old, image.before, None, (ordinal, 0))
        if new is not None:
            self._touch(new, None, image.after, (ordinal, 0 if old is None else 1))

    def _touch(self, key: _Key, before: Row | None, after: Row | None, order: tuple[int, int]) -> None:
        open_ = self._open
        if open_ is None:
            return
        fate = open_.fates.get(key)
        if fate is None:
            open_.fates[key] = _Fate(before, after, order)
        else:
            fate.after, fate.order = after, order

    # -- statements ------------------------------------------------------------------------------------------------

    def _statement(self, event: Statement) -> Transaction | None:
        text = plain(event.text)
        role = role_of(text)
        open_ = self._open
        if role is Role.BEGIN:
            if open_ is not None:
                open_.is_block = True
            return None
        if role is Role.COMMIT:
            return self._close(event.end)
        if role in (Role.ROLLBACK, Role.ROLLBACK_TO):
            self._void("part of a transaction was rolled back in the log")
            return self._close(event.end) if role is Role.ROLLBACK else None
        if role is Role.XA_COMMIT:
            known = self._prepared.pop(xa_id(text), None)
            for table in self._tables if known is None else known:
                self._mark(table, "an XA transaction was committed")
            return self._close(event.end)
        if role is Role.XA_ROLLBACK:
            self._prepared.pop(xa_id(text), None)
            return self._close(event.end)
        if role is Role.DATA:
            self._all_unread("a change was logged as a statement")
        elif role is Role.DDL:
            for table in affected(text, event.database, self._tables):
                self._mark(table, f"statement {' '.join(text.split(None, 2)[:2]).upper()} may concern the table")
        return None if open_ is not None and open_.is_block else self._close(event.end)

    def _prepare(self, event: Prepare) -> Transaction | None:
        if event.one_phase or self._open is None:
            return self._close(event.end)
        touched = frozenset(key.table for key in self._open.fates) | frozenset(self._open.unread)
        self._prepared[event.xid] = touched
        self._open.fates.clear()
        self._open.unread.clear()
        return self._close(event.end)

    def _void(self, reason: str) -> None:
        if self._open is None:
            return
        for table in {key.table for key in self._open.fates}:
            self._mark(table, reason)
        self._open.fates.clear()

    def _mark(self, table: TableId, reason: str) -> None:
        marks = self._unread_outside if self._open is None else self._open.unread
        marks[table] = reason

    def _all_unread(self, reason: str) -> None:
        for table in self._tables:
            self._mark(table, reason)

    # -- end -------------------------------------------------------------------------------------------------------

    def _close(self, end: int) -> Transaction | None:
        open_, self._open = self._open, None
        if open_ is None:
            return None
        begin = open_.begin
        return Transaction(
            gtid=begin.gtid,
            file=begin.file,
            offset=begin.offset,
            end=max(end, open_.end),
            ts_s=begin.ts_s,
            changes=_changes(open_.fates, open_.unread),
            unread=open_.unread,
        )


def _alone(table: TableId, uid_column: str, image: Image) -> tuple[Change, ...] | None:
    """What a transaction of one row did; None where that is more than one change, or not for here to say."""
    before, after = image
    row = before if after is None else after
    if row is None or uid_column not in row:
        return None
    if before is not None and after is not None:
        if before[uid_column] != after[uid_column]:
            return None
        if before == after:
            return ()
    op = _CREATE if before is None else _DELETE if after is None else _UPDATE
    uid = row[uid_column]
    if not isinstance(uid, str):
        if not isinstance(uid, int):
            return None
        uid = str(uid)
    return (new(Change, (table, uid, op, before, after, 0, 0)),)


def _value(row: Row, column: str) -> Value:
    value = row[column]
    return value if isinstance(value, str | int) else None


def _changes(fates: Mapping[_Key, _Fate], unread: Mapping[TableId, str]) -> tuple[Change, ...]:
    if unread:
        fates = {key: fate for key, fate in fates.items() if key.table not in unread}
    changes: list[Change] = []
    ordered = fates.items() if len(fates) == 1 else sorted(fates.items(), key=lambda item: (item[1].order, item[0]))
    for key, fate in ordered:
        op = _op(fate)
        if op is None:
            continue
        ordinal, b = fate.order
        changes.append(Change(key.table, key.uid, op, fate.before, fate.after, ordinal, b))
    return tuple(changes)


def _op(fate: _Fate) -> Op | None:
    if fate.before is None:
        return None if fate.after is None else Op.CREATE
    if fate.after is None:
        return Op.DELETE
    return None if fate.before == fate.after else Op.UPDATE
