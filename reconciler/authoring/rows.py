"""Sample rows from CSV, JSON or the command line, as the columns of a hub's table.

Fed by: texts. Feeds: the commands. Never: performs I/O, and never guesses a type: CSV and `--row` give texts, an empty
field is NULL; JSON keeps its types, as the binlog has them.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reconciler.core.validation.items import did_you_mean
from reconciler.core.variables import NodeRow, is_active, node_row
from shared.errors import InvalidError, UsageError
from shared.model.envelope import Row
from shared.model.hub import Hub

__all__ = ["SampleRow", "Samples", "Selected", "node_rows", "parse_flags", "parse_rows", "row_of_flags"]


@dataclass(frozen=True, slots=True)
class SampleRow:
    """One row and where it was given."""

    where: str
    """`rows.csv:3`, `rows.json[0]`, `--row`."""
    columns: Row


@dataclass(frozen=True, slots=True)
class Selected:
    """The rows of one hub that a command works on."""

    rows: tuple[tuple[str, NodeRow], ...]
    """(where it was given, row), in the order of the file."""
    nulls: tuple[str, ...]
    """Columns that `--row` does not give."""

    @property
    def active(self) -> tuple[tuple[str, NodeRow], ...]:
        """Those that get objects."""
        return tuple((where, row) for where, row in self.rows if is_active(row.activate))

    @property
    def inactive(self) -> tuple[tuple[str, NodeRow], ...]:
        """Those that get none."""
        return tuple((where, row) for where, row in self.rows if not is_active(row.activate))


@dataclass(frozen=True, slots=True)
class Samples:
    """The rows that the command line gives, before a hub says what they mean."""

    rows: tuple[SampleRow, ...] = ()
    """Those of `--rows`."""
    flags: Mapping[str, str | None] | None = None
    """The one of `--row`."""
    uid: str = ""
    """Of the only row to take; empty: all."""

    @property
    def given(self) -> bool:
        """Whether there are any."""
        return bool(self.rows) or self.flags is not None

    def of(self, hub: Hub) -> Selected:
        """The rows as the hub's variables. Raises InvalidError, see `node_rows`; also for a uid that no row has."""
        rows, nulls = list(self.rows), tuple[str, ...]()
        if self.flags is not None:
            row, nulls = row_of_flags(hub, self.flags)
            rows.append(row)
        mapped = [(row.where, node) for row, node in node_rows(hub, rows)]
        taken = [(where, node) for where, node in mapped if self.uid in ("", node.uid)]
        if self.uid and not taken:
            hint = _hint(self.uid, [node.uid for _, node in mapped])
            raise InvalidError(f"no row has uid {self.uid}{hint}")
        return Selected(tuple(taken), nulls)


def parse_rows(text: str, name: str) -> list[SampleRow]:
    """Rows of a file: JSON when its name or first character says so, else CSV with the columns in the first line.

    Raises InvalidError that names the place.
    """
    if name.endswith(".json") or text.lstrip()[:1] in ("[", "{"):
        return _json_rows(text, name)
    return _csv_rows(text, name)


def _csv_rows(text: str, name: str) -> list[SampleRow]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        columns = [column.strip() for column in next(reader, [])]
        twice = {column for column in columns if columns.count(column) > 1}
        if not any(columns) or twice or not all(columns):
            what = f"column {min(twice)} twice" if any(twice) else "an empty column" if any(columns) else "no columns"
            raise InvalidError(f"{name}:1: the first line names {what}", mend="Name each column of the rows once")
        rows = []
        for fields in reader:
            if not fields:
                continue
            where = f"{name}:{reader.line_num}"
            if len(fields) != len(columns):
                raise InvalidError(f"{where}: {len(fields)} fields where the first line names {len(columns)}")
            rows.append(SampleRow(where, {c: f or None for c, f in zip(columns, fields, strict=True)}))
    except csv.Error as error:
        raise InvalidError(f"{name}:{reader.line_num}: not CSV: {error}") from error
    return rows


def _json_rows(text: str, name: str) -> list[SampleRow]:
    try:
        document = json.loads(text, parse_constant=_refuse)
    except json.JSONDecodeError as error:
        raise InvalidError(f"{name}:{error.lineno}:{error.colno}: not JSON: {error.msg}") from error
    except (ValueError, RecursionError) as error:
        raise InvalidError(f"{name}: not JSON: {error}") from error
    items = document if isinstance(document, list) else [document]
    rows = []
    for index, item in enumerate(items):
        if not isinstance(item, dict):
            raise InvalidError(f"{name}[{index}]: a row is an object of columns, not {json.dumps(item)[:40]}")
        rows.append(SampleRow(f"{name}[{index}]", {column: _column(value) for column, value in item.items()}))
    return rows


def _refuse(word: str) -> Any:
    raise ValueError(f"{word} is no JSON number")


def _column(value: Any) -> str | int | float | bool | None:
    """A JSON column comes as its text."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value


def parse_flags(assignments: Sequence[str]) -> dict[str, str | None]:
    """`column=value …` as one row; an empty value is NULL. Raises UsageError."""
    columns: dict[str, str | None] = {}
    for assignment in assignments:
        column, equals, value = assignment.partition("=")
        if not equals or not column:
            raise UsageError(f"{assignment!r} is not column=value", mend="Give each file its own -f")
        if column in columns:
            raise UsageError(f"--row gives column {column} twice", mend="Give more than one row with --rows FILE")
        columns[column] = value or None
    return columns


def row_of_flags(hub: Hub, columns: Row) -> tuple[SampleRow, tuple[str, ...]]:
    """(a whole row, columns that are NULL since none was given). The row is active unless it says otherwise.

    Raises InvalidError for a column that the hub does not map: it could have no effect.
    """
    wanted = hub.columns()
    for column in columns:
        if column not in wanted:
            raise InvalidError(
                f"{_name(hub)} maps no column {column}{_hint(column, wanted)}",
                mend=f"It maps {', '.join(wanted)}",
                reason="ColumnUnmapped",
            )
    activate = hub.spec.value_mappings.activate
    missing = tuple(c for c in wanted if c not in columns and c != activate)
    return SampleRow("--row", {activate: "1", **dict.fromkeys(missing), **columns}), missing


def node_rows(hub: Hub, rows: Iterable[SampleRow]) -> list[tuple[SampleRow, NodeRow]]:
    """The rows as the hub's variables. A column that one row has and another lacks is NULL there.

    Raises InvalidError for a mapped column that no row has, a row without uid, and a uid that comes twice.
    """
    rows = list(rows)
    known = {column for row in rows for column in row.columns}
    found: list[tuple[SampleRow, NodeRow]] = []
    seen: dict[str, str] = {}
    for column in hub.columns() if rows else ():
        if column not in known:
            raise InvalidError(
                f"no row has column {column}, which {_name(hub)} maps{_hint(column, known)}",
                mend=f"The rows have {', '.join(sorted(known))}",
                reason="ColumnMissing",
            )
    for row in rows:
        node = node_row(hub, {**dict.fromkeys(known), **row.columns})
        if not node.uid:
            raise InvalidError(f"{row.where}: column {hub.spec.value_mappings.uid}, the uid, is NULL or empty")
        if node.uid in seen:
            raise InvalidError(f"{row.where}: uid {node.uid} was already given at {seen[node.uid]}")
        seen[node.uid] = row.where
        found.append((row, node))
    return found


def _name(hub: Hub) -> str:
    return f"LynqHub {hub.metadata.namespace}/{hub.metadata.name}"


def _hint(unknown: str, known: Iterable[str]) -> str:
    near = did_you_mean(unknown, known)
    return f" ({near})" if near else ""
