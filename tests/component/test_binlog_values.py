"""Property: for every column type of both databases, stream and SELECT tell the same text of whatever was stored."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from cdc.binlog.fields import NETWORK_TEXTS
from deploy.stack.endpoints import Endpoints
from tests.component.binlog_source import BinlogSource
from tests.product import administrator

pytestmark = pytest.mark.stack

RUNS = int(os.environ.get("ROWPLANE_FAULT_RUNS") or 1)
_SETTINGS = settings(
    max_examples=10 * RUNS,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # shrinking would write thousands of tables
)


@dataclass(frozen=True, slots=True)
class Kind:
    """A column type, and what may be written into it."""

    declared: str
    values: st.SearchStrategy[Any]
    expression: str = "%s"


def _integers(bits: int, *, unsigned: bool) -> st.SearchStrategy[int]:
    low, high = (0, 2**bits - 1) if unsigned else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return st.integers(low, high) | st.sampled_from((low, high, 0))


def _clock(hours: int) -> st.SearchStrategy[str]:
    return st.builds(
        "{}:{:02d}:{:02d}.{:06d}".format,
        st.integers(0, hours),
        st.integers(0, 59),
        st.integers(0, 59),
        st.integers(0, 999_999) | st.sampled_from((0, 1, 500_000, 999_999)),
    )


_DATES = st.builds("{:04d}-{:02d}-{:02d}".format, st.integers(0, 9999), st.integers(0, 12), st.integers(0, 31))
_DATETIMES = st.builds("{} {}".format, _DATES, _clock(23))
_MOMENTS = st.builds("{} {}".format, st.dates(), _clock(23)) | st.builds(
    "{} {}".format,
    st.dates().filter(lambda date: 1971 <= date.year <= 2037),
    _clock(23),
)
_TIMES = st.builds("{}{}".format, st.sampled_from(("", "-")), _clock(838))
_DECIMALS = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**40), max_value=10**40)
_TEXTS = st.text(max_size=60) | st.text("aé☃ \0\"\\'\n", max_size=60)
_BYTES = st.binary(max_size=60)
_CHARSETS = (
    *("armscii8", "ascii", "big5", "cp1250", "cp1251", "cp1256", "cp1257", "cp850", "cp852", "cp866", "cp932", "dec8"),
    *("eucjpms", "euckr", "gb2312", "gbk", "geostd8", "greek", "hebrew", "hp8", "keybcs2", "koi8r", "koi8u", "latin1"),
    *("latin2", "latin5", "latin7", "macce", "macroman", "sjis", "swe7", "tis620", "ucs2", "ujis", "utf16", "utf16le"),
    *("utf32", "utf8mb3", "utf8mb4"),
)
_POINTS = st.tuples(*[st.floats(-180, 180, width=32)] * 2).map(lambda pair: f"{pair[0]!r} {pair[1]!r}")
_GEOMETRIES = st.one_of(
    _POINTS.map("POINT({})".format),
    st.lists(_POINTS, min_size=2, max_size=5).map(lambda points: f"LINESTRING({','.join(points)})"),
    st.lists(_POINTS, min_size=1, max_size=5).map(lambda points: f"MULTIPOINT({','.join(points)})"),
    _POINTS.map(lambda point: f"GEOMETRYCOLLECTION(POINT({point}),LINESTRING({point},0 0))"),
    st.just("POLYGON((0 0,9 0,9 9,0 9,0 0),(1 1,2 1,2 2,1 2,1 1))"),
)
_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=5),
    max_leaves=25,
)
_INET6 = ("::1", "::", "::ffff:1.2.3.4", "::1.2.3.4", "2001:db8:0:1:1:1:1:1", "2001:db8::1:0:0:1")
_LABELS = [f"label {i}" for i in range(300)]

COMMON = {
    **{
        f"c_{name}{'_u' * unsigned}": Kind(f"{name}{' UNSIGNED' * unsigned}", _integers(bits, unsigned=unsigned))
        for name, bits in (("TINYINT", 8), ("SMALLINT", 16), ("MEDIUMINT", 24), ("INT", 32), ("BIGINT", 64))
        for unsigned in (False, True)
    },
    "c_zerofill": Kind("INT(9) ZEROFILL", st.integers(0, 99)),
    "c_decimal": Kind("DECIMAL(65,30)", _DECIMALS),
    "c_decimal_9": Kind("DECIMAL(9,9)", st.decimals(-1, 1, places=9)),
    "c_decimal_0": Kind("DECIMAL(19,0)", st.integers(-(10**19), 10**19)),
    "c_decimal_zerofill": Kind("DECIMAL(12,3) ZEROFILL", st.decimals(0, 99, places=3)),
    "c_float": Kind("FLOAT", st.floats(width=32, allow_nan=False, allow_infinity=False).map(repr)),
    "c_float_5_2": Kind("FLOAT(7,2)", st.floats(-1000, 1000)),
    "c_double": Kind("DOUBLE", st.floats(allow_nan=False, allow_infinity=False).map(repr)),
    "c_double_20_5": Kind("DOUBLE(20,5)", st.floats(-(10**14), 10**14)),
    "c_date": Kind("DATE", _DATES),
    **{f"c_datetime{n}": Kind(f"DATETIME({n})", _DATETIMES) for n in range(7)},
    **{f"c_timestamp{n}": Kind(f"TIMESTAMP({n}) NULL", _MOMENTS) for n in range(7)},
    **{f"c_time{n}": Kind(f"TIME({n})", _TIMES) for n in range(7)},
    "c_year": Kind("YEAR", st.integers(1901, 2155) | st.just(0)),
    **{f"c_bit{n}": Kind(f"BIT({n})", st.integers(0, 2**n - 1)) for n in (1, 2, 7, 8, 9, 31, 32, 33, 63, 64)},
    "c_char": Kind("CHAR(60)", _TEXTS),
    "c_char_ucs2": Kind("CHAR(60) CHARACTER SET ucs2", _TEXTS),
    "c_char_255": Kind("CHAR(255) CHARACTER SET utf8mb4", _TEXTS),
    **{f"c_{charset}": Kind(f"VARCHAR(60) CHARACTER SET {charset}", _TEXTS) for charset in _CHARSETS},
    "c_varchar_big": Kind("VARCHAR(300)", _TEXTS),
    **{f"c_{name}": Kind(name, _TEXTS) for name in ("TINYTEXT", "TEXT", "MEDIUMTEXT", "LONGTEXT")},
    **{f"c_{name}": Kind(name, _BYTES) for name in ("TINYBLOB", "BLOB", "MEDIUMBLOB", "LONGBLOB")},
    "c_binary": Kind("BINARY(60)", _BYTES),
    "c_binary_16": Kind("BINARY(16)", st.binary(max_size=16)),
    "c_varbinary": Kind("VARBINARY(60)", _BYTES),
    "c_varbinary_big": Kind("VARBINARY(300)", _BYTES),
    "c_enum": Kind(
        "ENUM('blue','green','it''s','é') CHARACTER SET utf8mb4", st.sampled_from(("green", "it's", "é", "?"))
    ),
    "c_enum_300": Kind(f"ENUM({','.join(map(repr, _LABELS))}) CHARACTER SET latin1", st.sampled_from(_LABELS)),
    "c_enum_binary": Kind("ENUM('a','b') CHARACTER SET binary", st.sampled_from(("a", "b"))),
    **{
        f"c_set{n}": Kind(f"SET({','.join(map(repr, _LABELS[:n]))})", st.integers(0, 2**n - 1))
        for n in (1, 8, 9, 24, 33, 64)
    },
    "c_set_binary": Kind("SET('a','b') CHARACTER SET binary", st.integers(0, 3)),
    "c_geometry": Kind("GEOMETRY", _GEOMETRIES, "ST_GeomFromText(%s)"),
    "c_stored": Kind("BIGINT GENERATED ALWAYS AS (c_TINYINT * 2) STORED", st.nothing()),
    "c_virtual": Kind("INT GENERATED ALWAYS AS (c_TINYINT + 1) VIRTUAL", st.nothing()),
}
MYSQL = {
    "c_gb18030": Kind("VARCHAR(60) CHARACTER SET gb18030", _TEXTS),
    "c_hidden": Kind("INT INVISIBLE", _integers(32, unsigned=False)),
    "c_json": Kind("JSON", _JSON.map(json.dumps)),
    "c_json_decimal": Kind("JSON", _DECIMALS, "JSON_ARRAY(CAST(%s AS DECIMAL(65,30)))"),
    "c_json_datetime": Kind("JSON", _MOMENTS, "JSON_ARRAY(CAST(%s AS DATETIME(6)))"),
    "c_json_date": Kind("JSON", st.dates(), "JSON_ARRAY(CAST(%s AS DATE))"),
    "c_json_time": Kind("JSON", _TIMES, "JSON_ARRAY(CAST(%s AS TIME(6)))"),
    "c_json_binary": Kind("JSON", st.binary(max_size=200), "JSON_ARRAY(CAST(%s AS BINARY))"),
    "c_vector": Kind(
        "VECTOR(4)",
        st.lists(st.integers(-(2**24), 2**24).map(lambda n: n / 64), min_size=1, max_size=4).map(json.dumps),
        "TO_VECTOR(%s)",
    ),
}
MARIADB = {
    "c_hidden": Kind("INT INVISIBLE", _integers(32, unsigned=False)),
    "c_json": Kind("JSON", _JSON.map(json.dumps)),
    "c_uuid": Kind("UUID", st.uuids().map(str)),
    "c_inet4": Kind("INET4", st.ip_addresses(v=4).map(str)),
    "c_inet6": Kind(
        "INET6", st.ip_addresses(v=6).map(str) | st.sampled_from(("::1", "::", "::ffff:1.2.3.4", "::1.2.3.4"))
    ),
    "c_text_compressed": Kind("TEXT COMPRESSED CHARACTER SET latin1", st.text("aé", max_size=3000)),
    "c_varchar_compressed": Kind("VARCHAR(3000) COMPRESSED", st.text("aé", max_size=1000)),
    "c_blob_compressed": Kind("BLOB COMPRESSED", st.binary(max_size=20).map(lambda raw: raw * 100)),
}


@pytest.fixture(scope="module", params=["mysql", "mariadb"])
def source(request: pytest.FixtureRequest, endpoints: Endpoints) -> Iterator[BinlogSource]:
    """A database on each kind of server, with a session that takes any value and shows times by its own clock."""
    server = endpoints.mysql if request.param == "mysql" else endpoints.mariadb
    if server is None:
        pytest.skip("the stack has no MariaDB")
    made = BinlogSource(server)
    made.sql("SET sql_mode = '', time_zone = '+05:30'")
    yield made
    made.close()


def _kinds(source: BinlogSource) -> Mapping[str, Kind]:
    return COMMON | (MARIADB if source.is_mariadb else MYSQL)


def _group(kinds: Mapping[str, Kind], number: int, groups: int) -> dict[str, Kind]:
    """A share of the types: one row may not hold them all."""
    return {name: kind for i, (name, kind) in enumerate(kinds.items()) if i % groups == number}


_GROUPS = 6
_BASE = "c_TINYINT"
"""The generated columns are made of it."""


@pytest.mark.parametrize("number", range(_GROUPS))
def test_stream_and_select_tell_the_same(source: BinlogSource, number: int) -> None:
    every = _kinds(source)
    kinds = {_BASE: every[_BASE]} | _group(every, number, _GROUPS)
    written = [name for name, kind in kinds.items() if not kind.values.is_empty]
    columns = ", ".join(f"`{name}` {kind.declared}" for name, kind in kinds.items())
    source.sql("DROP TABLE IF EXISTS t", f"CREATE TABLE t (id INT PRIMARY KEY, {columns})")
    names, places = (f"`{name}`" for name in written), (kinds[name].expression for name in written)
    insert = f"INSERT INTO t (id, {', '.join(names)}) VALUES (%s, {', '.join(places)})"  # noqa: S608  # names of this file
    rows = st.lists(st.tuples(*[st.none() | kinds[name].values for name in written]), min_size=1, max_size=20)

    @_SETTINGS
    @given(rows)
    def agree(values: list[tuple[Any, ...]]) -> None:
        source.sql("TRUNCATE TABLE t")
        order = source.order(("id", *kinds))
        for i, row in enumerate(values):
            source.sql(insert, values=(i, *row))
        streamed, selected = source.inserted(order), source.selected(order)
        differing = {
            (kinds[name].declared if name in kinds else name, streamed[uid][name], value)
            for uid, row in selected.items()
            for name, value in row.items()
            if streamed[uid][name] != value
        }
        assert not differing
        assert streamed.keys() == selected.keys()

    agree()


def test_every_pattern_of_zeros_is_spelt_as_mariadb_spells_it(endpoints: Endpoints) -> None:
    """It leaves out a single zero, too: each comparison took a row with such an address for changed."""
    server = endpoints.mariadb
    assert server is not None
    for word in (b"\0\1", b"\xab\x0c"):
        addresses = [b"".join(word if n >> i & 1 else b"\0\0" for i in range(8)) for n in range(256)]
        spelt = ", ".join(f"CAST(CAST(X'{raw.hex()}' AS INET6) AS CHAR)" for raw in addresses)
        with administrator(server) as cursor:
            cursor.execute(f"SELECT {spelt}")
            assert [NETWORK_TEXTS["inet6"](raw) for raw in addresses] == list(cursor.fetchone() or ())
