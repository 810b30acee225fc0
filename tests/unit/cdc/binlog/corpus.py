"""What real servers sent (tests/component/record_binlog.py), and events made by hand.

Fed by: tests/data/binlog. Feeds: tests of the decoder. Never: asks a server.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from cdc.binlog.decoder import EventDecoder
from cdc.binlog.rows import Wanted
from cdc.core.events import Event
from shared.model.position import TableId

DATA = Path(__file__).parents[3] / "data" / "binlog"
FLAVOURS = ("mysql", "mariadb")
TABLES = {
    "t": ("color", "id"),
    "doc": ("id", "k"),
    "wide": ("id", "c_INT", "c_decimal", "c_double", "c_latin1", "c_bit9", "c_time6", "c_datetime3", "c_year"),
}


@dataclass(frozen=True, slots=True)
class Recording:
    """A recorded stream."""

    database: str
    charsets: dict[int, str]
    events: tuple[bytes, ...]

    def table(self, name: str) -> TableId:
        """A table of the recorded database."""
        return TableId(self.database, name)

    def decoder(self, *tables: str) -> EventDecoder:
        """A decoder of some of the tables; without names, of all."""
        names = tables or tuple(TABLES)
        wanted = {self.table(name): Wanted(TABLES[name]) for name in names}
        return EventDecoder("binlog.000001", wanted, self.charsets)

    def decoded(self, *tables: str) -> list[Event]:
        """What the stream says."""
        decoder = self.decoder(*tables)
        return [event for raw in self.events for event in decoder.decode(raw, [(0, len(raw))])]


@lru_cache
def recording(flavour: str) -> Recording:
    """The recorded stream of one kind of server."""
    document = json.loads((DATA / f"{flavour}.json").read_text(encoding="utf-8"))
    return Recording(
        document["database"],
        {int(number): name for number, name in document["charsets"].items()},
        tuple(bytes.fromhex(event) for event in document["events"]),
    )


def event(code: int, body: bytes = b"", *, log_pos: int = 500, flags: int = 0, ts_s: int = 7) -> bytes:
    """An event without a checksum."""
    return struct.pack("<IBIIIH", ts_s, code, 1, 19 + len(body), log_pos, flags) + body


def with_checksum(raw: bytes) -> bytes:
    """The same event with its CRC32."""
    longer = raw[:9] + struct.pack("<I", len(raw) + 4) + raw[13:]
    return longer + struct.pack("<I", zlib.crc32(longer))


def format_description(algorithm: int, server: bytes = b"9.7.4") -> bytes:
    """The first event of a file."""
    body = struct.pack("<H50sIB", 4, server, 0, 19) + bytes(40) + bytes([algorithm]) + bytes(4)
    return event(15, body, log_pos=126)


def made(*raws: bytes, wanted: Iterable[TableId] = (), columns: tuple[str, ...] = ("id",)) -> list[Event]:
    """What events made by hand say to a new decoder."""
    decoder = EventDecoder("binlog.000001", {table: Wanted(columns) for table in wanted}, {45: "utf8mb4"})
    return [found for raw in raws for found in decoder.decode(raw, [(0, len(raw))])]
