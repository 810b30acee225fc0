"""A value is the same text whether SELECT or the binlog tells it, on both kinds of server."""

from __future__ import annotations

import pytest

from tests.component.conftest import CaptureWorld

pytestmark = pytest.mark.stack

COMMON = {
    "c_tinyint": ("TINYINT", ["-128", "127"]),
    "c_utinyint": ("TINYINT UNSIGNED", ["255"]),
    "c_smallint": ("SMALLINT", ["-32768"]),
    "c_mediumint": ("MEDIUMINT UNSIGNED", ["16777215"]),
    "c_int": ("INT", ["-2147483648", "2147483647"]),
    "c_uint": ("INT UNSIGNED", ["4294967295"]),
    "c_bigint": ("BIGINT", ["-9223372036854775808"]),
    "c_ubigint": ("BIGINT UNSIGNED", ["18446744073709551615"]),
    "c_zerofill": ("INT(6) ZEROFILL", ["42"]),
    "c_bool": ("BOOLEAN", ["TRUE", "FALSE"]),
    "c_decimal": ("DECIMAL(20,4)", ["-1234567890123456.7890", "0.5", "0"]),
    "c_integral": ("DECIMAL(12,0)", ["123456789012"]),
    "c_fraction": ("DECIMAL(4,4)", ["0.5", "-0.0001"]),
    "c_float": ("FLOAT", ["1.1", "16777216", "3.4028235e38", "1e-10", "-0.333333"]),
    "c_double": ("DOUBLE", ["1.1", "1000000", "1e22", "1.7976931348623157e308", "2.5e-7"]),
    "c_date": ("DATE", ["'2026-02-28'", "'1000-01-01'", "'9999-12-31'"]),
    "c_datetime": ("DATETIME", ["'2026-02-28 23:59:59'"]),
    "c_datetime3": ("DATETIME(3)", ["'2026-02-28 23:59:59.120'"]),
    "c_datetime6": ("DATETIME(6)", ["'2026-02-28 23:59:59.000001'", "'2026-02-28 00:00:00'"]),
    "c_timestamp": ("TIMESTAMP NULL", ["'2026-07-01 12:00:00'"]),
    "c_timestamp6": ("TIMESTAMP(6) NULL", ["'2026-07-01 12:00:00.500000'"]),
    "c_time": ("TIME", ["'11:22:33'", "'-838:59:59'", "'838:59:59'"]),
    "c_time6": ("TIME(6)", ["'11:22:33.000044'", "'-11:22:33.000044'", "'-00:00:00.500000'"]),
    "c_time2": ("TIME(2)", ["'-01:00:59.25'"]),
    "c_year": ("YEAR", ["2026", "0"]),
    "c_bit1": ("BIT(1)", ["b'1'", "b'0'"]),
    "c_bit10": ("BIT(10)", ["b'1000000001'"]),
    "c_bit64": ("BIT(64)", ["b'1111111111111111111111111111111111111111111111111111111111111111'"]),
    "c_char": ("CHAR(10)", ["'ab '", "''"]),
    "c_varchar": ("VARCHAR(200)", ["'blue'", "'snow ☃ 🎈'", "' spaces '"]),
    "c_latin1": ("VARCHAR(50) CHARACTER SET latin1", ["'café €'"]),
    "c_text": ("TEXT", ["'a\\nb\\t\"c\"'"]),
    "c_longtext": ("LONGTEXT", ["REPEAT('x', 70000)"]),
    "c_binary": ("BINARY(4)", ["X'01'", "X'00000000'"]),
    "c_varbinary": ("VARBINARY(20)", ["X'00FF'", "X'0100'"]),
    "c_blob": ("BLOB", ["X'DEADBEEF00'"]),
    "c_enum": ("ENUM('blue','green','it''s')", ["'green'", "'it''s'"]),
    "c_set": ("SET('a','b','c')", ["'c,a'", "''", "'b'"]),
}
MYSQL_ONLY = {
    "c_json": (
        "JSON",
        [
            '\'{"b": [1, 2.5, null, true, "ü", 10000000000, -1], "aa": {"x": {}}}\'',
            "'[]'",
            "'\"text\"'",
            "'12.0'",
            "'1e20'",
        ],
    ),
}


def test_select_and_binlog_agree(world: CaptureWorld) -> None:
    types = COMMON | (MYSQL_ONLY if world.flavour == "mysql" else {"c_json": ("JSON", ["'{\"b\": [1, 2.5]}'"])})
    columns = ", ".join(f"{name} {declared}" for name, (declared, _) in types.items())
    world.make_table("nodes", f"node_id VARCHAR(40) PRIMARY KEY, active TINYINT(1) NOT NULL, {columns}")
    rows = max(len(values) for _, values in types.values())
    inserts = ["INSERT INTO DB.nodes (node_id, active) VALUES ('null', 1)"]
    for i in range(rows):
        values = ", ".join(values[min(i, len(values) - 1)] for _, values in types.values())
        inserts.append(f"INSERT INTO DB.nodes VALUES ('row{i}', 1, {values})")  # noqa: S608  # literals of this file
    session = ["SET time_zone = '+03:00'", "SET NAMES utf8mb4", "SET sql_mode = ''"]
    world.sql(*session, *inserts)
    world.make_hub(extras={name: name for name in types})
    world.start()
    world.wait_reason("Streaming")
    selected = world.rows()
    world.sql("DELETE FROM DB.nodes", *session, *inserts)
    world.eventually(lambda: sum(r.op == "c" for r in world.records()) == rows + 1, "all rows came by the binlog")
    streamed = {r.key["node_id"]: r.after for r in world.records() if r.op == "c"}
    differing = {
        f"{uid}.{column}": (selected[uid][column], row[column])
        for uid, row in streamed.items()
        if row is not None
        for column in row
        if selected[uid][column] != row[column]
    }
    assert differing == {}
    assert world.rows() == selected
    assert set(selected["null"].values()) == {"null", 1, None}
    first = selected["row0"]
    assert first["c_timestamp"] == "2026-07-01T09:00:00Z"
    assert first["c_datetime3"] == "2026-02-28T23:59:59.12Z"
    assert first["c_date"] == "2026-02-28T00:00:00Z"
    assert first["c_time6"] == "11:22:33.000044"
    assert selected["row1"]["c_time6"] == "-11:22:33.000044"
    assert first["c_decimal"] == "-1234567890123456.7890"
    assert first["c_float"] == "1.1"
    assert selected["row2"]["c_double"] == "1" + "0" * 22
    assert first["c_set"] == "a,c"
    assert selected["row1"]["c_set"] == ""
    assert first["c_bit10"] == 513
    assert first["c_binary"] == "AQAAAA=="
    assert first["c_latin1"] == "café €"


def test_zero_dates_are_null(mysql_world: CaptureWorld) -> None:
    world = mysql_world
    world.make_table("nodes", "node_id INT PRIMARY KEY, active TINYINT(1), d DATE, dt DATETIME, ts TIMESTAMP NULL")
    statements = (
        "SET sql_mode = ''",
        "INSERT INTO DB.nodes VALUES (1, 1, '0000-00-00', '0000-00-00 00:00:00', '0000-00-00 00:00:00')",
    )
    world.sql(*statements)
    world.make_hub(extras={"d": "d", "dt": "dt", "ts": "ts"})
    world.start()
    world.wait_reason("Streaming")
    wanted = {"1": {"node_id": 1, "active": 1, "d": None, "dt": None, "ts": None}}
    assert world.rows() == wanted
    world.sql("DELETE FROM DB.nodes", *statements)
    world.eventually(lambda: [r for r in world.records() if r.op == "c"], "the row came by the binlog")
    assert world.rows() == wanted
