"""The table of column types in docs/dataformat.md, line by line: what both databases say, by stream and by SELECT."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from deploy.stack.endpoints import Endpoints
from reconciler.core.variables import text_of
from tests.component.binlog_source import BinlogSource

pytestmark = pytest.mark.stack

PAGE = Path(__file__).parents[2] / "docs" / "dataformat.md"
_LINE = re.compile(r"\| (`.*?) \| `(.*?)`[^|]* \| `(.*?)` \| (?:`(.*?)` )?\|")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the page's table."""

    types: tuple[str, ...]
    database: str
    """`MySQL` or `MariaDB`; empty for both."""
    written: str
    value: Any
    text: str


def lines() -> list[Line]:
    """All lines of the table."""
    section = PAGE.read_text(encoding="utf-8").partition("## Column values")[2].partition("\n## ")[0]
    rows = [row for row in section.splitlines() if row.startswith("| `")]
    found = [_LINE.fullmatch(row) for row in rows]
    assert None not in found, [row for row, match in zip(rows, found, strict=True) if match is None]
    return [_line(match) for match in found if match is not None]


def _line(match: re.Match[str]) -> Line:
    database = re.search(r"\((MySQL|MariaDB)\)$", match[1])
    types = tuple(re.findall(r"`(.*?)`", match[1]))
    return Line(types, database[1] if database else "", match[2], json.loads(match[3]), match[4] or "")


LINES = lines()


@pytest.fixture(scope="module", params=["MySQL", "MariaDB"])
def source(request: pytest.FixtureRequest, endpoints: Endpoints) -> Iterator[BinlogSource]:
    """A database on each kind of server."""
    server = endpoints.mysql if request.param == "MySQL" else endpoints.mariadb
    if server is None:
        pytest.skip("the stack has no MariaDB")
    made = BinlogSource(server)
    made.sql("SET sql_mode = '', time_zone = '+03:00', NAMES utf8mb4")
    yield made
    made.close()


def test_the_page_names_every_line_once() -> None:
    assert len(LINES) > 30
    assert {line.database for line in LINES} == {"", "MySQL", "MariaDB"}


@pytest.mark.parametrize("line", LINES, ids=lambda line: f"{line.types[0]} {line.written[:20]}")
def test_lines_are_what_the_servers_say(source: BinlogSource, line: Line) -> None:
    if line.database and (line.database == "MariaDB") is not source.is_mariadb:
        pytest.skip(f"the type is {line.database}'s")
    columns = {f"c{i}": declared for i, declared in enumerate(line.types)}
    declared = ", ".join(f"{name} {kind}" for name, kind in columns.items())
    source.sql(
        "DROP TABLE IF EXISTS t", f"CREATE TABLE t (id INT PRIMARY KEY, {declared}) DEFAULT CHARACTER SET utf8mb4"
    )
    order = source.order(("id", *columns))
    source.sql("INSERT INTO t VALUES (1" + f", {line.written}" * len(columns) + ")")  # noqa: S608  # the page's own words
    wanted = {"1": {"id": 1, **dict.fromkeys(columns, line.value)}}
    assert source.inserted(order) == wanted
    assert source.selected(order) == wanted
    assert text_of(line.value) == line.text
