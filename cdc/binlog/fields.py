"""Column values as the binlog stores them, to the texts of docs/dataformat.md.

Layouts: MySQL source documentation, `my_time_packed_to_binary`, `my_datetime_packed_to_binary`, `decimal2bin`;
MariaDB's compressed columns, `Field_longstr::compress`.
Fed by: generated row decoders, with the bytes of one value. Feeds: rows. Never: checks bounds; the row decoder does.
"""

from __future__ import annotations

import base64
import datetime as dt
import ipaddress
import itertools
import uuid
import zlib
from collections.abc import Callable, Sequence
from functools import lru_cache

from shared.errors import InvalidError

__all__ = [
    "NETWORK_TEXTS",
    "base64_text",
    "date_text",
    "datetime_text",
    "decimal_size",
    "decimal_text",
    "inflated",
    "label_of",
    "labels_of",
    "old_datetime_text",
    "old_time_text",
    "time_text",
    "timestamp_text",
    "year_number",
]

_DIGIT_BYTES = (0, 1, 1, 2, 2, 3, 3, 4, 4, 4)
"""Bytes of 0 to 9 decimal digits."""
_DATETIME_ZERO = 0x8000000000
_TIME_ZERO = 0x800000
_EPOCH = dt.date(1970, 1, 1)
_DAY_S = 86400
_INFLATED_LIMIT = 1 << 30
"""No column value is longer than max_allowed_packet may be."""
_MEMORY = 4096
"""Texts of dates kept: the two images of an update, and the rows of one moment, share them."""


def base64_text(raw: bytes) -> str:
    """Binary data."""
    return base64.b64encode(raw).decode("ascii")


def year_number(stored: int) -> int:
    """YEAR: years since 1900, 0 for the year 0000."""
    return stored + 1900 if stored else 0


@lru_cache(_MEMORY)
def date_text(raw: bytes) -> str | None:
    """DATE, 3 bytes: 15 bits of year, 4 of month, 5 of day. NULL when one of them is zero."""
    number = int.from_bytes(raw, "little")
    date = _date(number >> 9, number >> 5 & 15, number & 31)
    return date and f"{date}T00:00:00Z"


@lru_cache(_MEMORY)
def datetime_text(raw: bytes, digits: int) -> str | None:
    """DATETIME(n), 5 bytes and its fraction."""
    number = int.from_bytes(raw[:5], "big") - _DATETIME_ZERO
    months, day = number >> 22, number >> 17 & 31
    date = _date(*divmod(months, 13), day)
    clock = f"{number >> 12 & 31:02d}:{number >> 6 & 63:02d}:{number & 63:02d}"
    return date and f"{date}T{clock}{_fraction(raw[5:], digits)}Z"


@lru_cache(_MEMORY)
def timestamp_text(raw: bytes, digits: int) -> str | None:
    """TIMESTAMP(n), 4 bytes of seconds since 1970 in UTC and its fraction. NULL for all zeros, the zero date."""
    return _moment(int.from_bytes(raw[:4], "big"), _fraction(raw[4:], digits)) if any(raw) else None


def old_timestamp_text(raw: bytes) -> str | None:
    """TIMESTAMP of before MySQL 5.6: 4 bytes, little-endian."""
    seconds = int.from_bytes(raw, "little")
    return _moment(seconds, "") if seconds else None


def old_datetime_text(raw: bytes) -> str | None:
    """DATETIME of before MySQL 5.6: the digits YYYYMMDDHHMMSS as a number."""
    date, clock = divmod(int.from_bytes(raw, "little"), 1_000_000)
    text = _date(date // 10000, date // 100 % 100, date % 100)
    return text and f"{text}T{clock // 10000:02d}:{clock // 100 % 100:02d}:{clock % 100:02d}Z"


def time_text(raw: bytes, digits: int) -> str:
    """TIME(n), 3 bytes and its fraction, together one number in two's complement around zero."""
    fraction_bits = 8 * (len(raw) - 3)
    number = int.from_bytes(raw, "big") - (_TIME_ZERO << fraction_bits)
    size = abs(number)
    clock = size >> fraction_bits
    fraction = (size & (1 << fraction_bits) - 1).to_bytes(len(raw) - 3, "big")
    sign = "-" if number < 0 else ""
    return f"{sign}{clock >> 12 & 1023:02d}:{clock >> 6 & 63:02d}:{clock & 63:02d}{_digits(fraction, digits)}"


def old_time_text(raw: bytes) -> str:
    """TIME of before MySQL 5.6: the digits HHMMSS as a signed number."""
    number = int.from_bytes(raw, "little", signed=True)
    size = abs(number)
    return f"{'-' if number < 0 else ''}{size // 10000:02d}:{size // 100 % 100:02d}:{size % 100:02d}"


def _date(year: int, month: int, day: int) -> str | None:
    return f"{year:04d}-{month:02d}-{day:02d}" if year and month and day else None


def _moment(seconds: int, fraction: str) -> str:
    days, rest = divmod(seconds, _DAY_S)
    date = (_EPOCH + dt.timedelta(days=days)).isoformat()
    return f"{date}T{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}{fraction}Z"


def _digits(raw: bytes, digits: int) -> str:
    """A fraction of two decimal digits a byte, shown with as many digits as the column has."""
    return f".{int.from_bytes(raw, 'big'):0{2 * len(raw)}d}"[: digits + 1] if digits else ""


def _fraction(raw: bytes, digits: int) -> str:
    return _digits(raw, digits).rstrip("0").rstrip(".")


def decimal_size(precision: int, scale: int) -> int:
    """Bytes of a DECIMAL(precision, scale)."""
    whole, part = precision - scale, scale
    return whole // 9 * 4 + _DIGIT_BYTES[whole % 9] + part // 9 * 4 + _DIGIT_BYTES[part % 9]


def decimal_text(raw: bytes, precision: int, scale: int) -> str:
    """DECIMAL: groups of nine digits in four bytes; the first bit is the sign, a negative number is inverted."""
    is_negative = not raw[0] & 0x80
    flipped = bytes(byte ^ 0xFF for byte in raw) if is_negative else raw
    digits = bytes((flipped[0] ^ 0x80,)) + flipped[1:]
    whole, at = _decimal_digits(digits, 0, precision - scale, is_whole=True)
    part, _ = _decimal_digits(digits, at, scale, is_whole=False)
    text = f"{whole.lstrip('0') or '0'}.{part}" if scale else whole.lstrip("0") or "0"
    return f"-{text}" if is_negative else text


def _decimal_digits(raw: bytes, at: int, count: int, *, is_whole: bool) -> tuple[str, int]:
    """The short group stands first before the point, and last behind it."""
    groups = [9] * (count // 9)
    if count % 9:
        groups.insert(0 if is_whole else len(groups), count % 9)
    texts: list[str] = []
    for digits in groups:
        stop = at + _DIGIT_BYTES[digits]
        texts.append(f"{int.from_bytes(raw[at:stop], 'big'):0{digits}d}")
        at = stop
    return "".join(texts), at


def label_of(labels: Sequence[str]) -> Callable[[int], str]:
    """ENUM: labels count from 1; 0 is the empty text that stands for an invalid value."""
    texts = ("", *labels)
    return texts.__getitem__


def labels_of(labels: Sequence[str]) -> Callable[[int], str]:
    """SET: a bit for each label."""

    @lru_cache(_MEMORY)
    def text(bits: int) -> str:
        if bits >> len(labels):
            raise InvalidError("a SET holds more labels than the table map names")
        return ",".join(label for i, label in enumerate(labels) if bits >> i & 1)

    return text


def inflated(raw: bytes) -> bytes:
    """The content of a MariaDB COMPRESSED column: a head byte, 0 when the rest is as it was written.

    Else its lower three bits count the big-endian bytes of the length, bit 3 says that zlib's own head is missing.
    Raises InvalidError when it does not unpack to its length.
    """
    if not raw:
        return raw
    head, count = raw[0], raw[0] & 7
    if not head:
        return raw[1:]
    size = int.from_bytes(raw[1 : 1 + count], "big")
    if head & 0xF0 != 0x80 or size > _INFLATED_LIMIT:
        raise InvalidError("a compressed column is packed in an unknown way")
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS if head & 8 else zlib.MAX_WBITS)
    try:
        content = unpacker.decompress(raw[1 + count :], size or 1)
    except zlib.error as error:
        raise InvalidError("a compressed column cannot be unpacked") from error
    if len(content) != size:
        raise InvalidError("a compressed column does not unpack to its length")
    return content


def _inet6_text(raw: bytes) -> str:
    """As MariaDB does: `::` for the first of the longest runs of zeros, unlike RFC 5952 for a single zero, too.

    The last four bytes of a mapped or compatible IPv4 address are written with dots.
    """
    if raw[:12] == bytes(10) + b"\xff\xff":
        return f"::ffff:{ipaddress.IPv4Address(raw[12:])}"
    if raw[:12] == bytes(12) and raw[12:14] != b"\0\0":
        return f"::{ipaddress.IPv4Address(raw[12:])}"
    words = [f"{int.from_bytes(raw[i : i + 2]):x}" for i in range(0, 16, 2)]
    runs = [(word, len(list(run))) for word, run in itertools.groupby(words)]
    longest = max((length for word, length in runs if word == "0"), default=0)
    if not longest:
        return ":".join(words)
    before = sum(length for _, length in itertools.takewhile(lambda run: run != ("0", longest), runs))
    return f"{':'.join(words[:before])}::{':'.join(words[before + longest :])}"


NETWORK_TEXTS: dict[str, Callable[[bytes], str]] = {
    "uuid": lambda raw: str(uuid.UUID(bytes=raw)),
    "inet4": lambda raw: str(ipaddress.IPv4Address(raw)),
    "inet6": _inet6_text,
}
"""MariaDB's types that the log shows as BINARY, by data type."""
