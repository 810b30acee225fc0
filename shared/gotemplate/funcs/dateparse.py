"""Reads moments by Go's date layouts.

Fed by: the date functions. Feeds: moments. Never: knows a time zone; an abbreviation other than UTC is kept as a name
with the offset 0, as Go does with names it does not know.
Source of the rules: Go package time, Parse.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from shared.gotemplate import limits
from shared.gotemplate.errors import Fault
from shared.gotemplate.funcs.calendar import DAY_S, Moment, Month, Weekday, days_in, days_to, is_leap, moment
from shared.gotemplate.funcs.layouts import CHUNKS

_YEAR: Final = re.compile(r"[0-9]{4}")
_SHORT_YEAR: Final = re.compile(r"[0-9]{2}|[+-][0-9]")  # as Go, which reads a sign
_FRACTION: Final = re.compile(r"[.,][0-9]+")
_OFFSETS: Final[dict[str, re.Pattern[str]]] = {
    "07": re.compile(r"([+-])([0-9]{2})()()"),
    "0700": re.compile(r"([+-])([0-9]{2})([0-9]{2})()"),
    "07:00": re.compile(r"([+-])([0-9]{2}):([0-9]{2})()"),
    "070000": re.compile(r"([+-])([0-9]{2})([0-9]{2})([0-9]{2})"),
    "07:00:00": re.compile(r"([+-])([0-9]{2}):([0-9]{2}):([0-9]{2})"),
}
_ZONE: Final = re.compile(r"ChST|MeST|GMT(?:[+-](?:2[0-3]|[01]?[0-9])(?![0-9]))?|[+-](?:2[0-3]|0*[01]?[0-9])(?![0-9])")
_CAPITALS: Final = re.compile(r"[A-Z]{0,6}")
_FIXED: Final = {"01": 2, "02": 2, "03": 2, "04": 2, "05": 2, "002": 3}


@dataclass(slots=True)
class _Reading:
    """What has been read so far; None where nothing was said."""

    text: str
    year: int = 0
    month: int | None = None
    day: int | None = None
    yearday: int | None = None
    hour: int = 0
    minute: int = 0
    second: int = 0
    nanos: int = 0
    afternoon: bool | None = None
    offset_s: int | None = None
    zone: str = ""

    def take(self, length: int) -> str:
        """The next characters. Raises Fault when there are fewer."""
        if len(self.text) < length:
            raise Fault("the text ends before the layout does")
        taken, self.text = self.text[:length], self.text[length:]
        return taken

    def number(self, chunk: str, most: int = 2) -> int:
        """The digits of a part; those written with a leading zero have a fixed length. Raises Fault."""
        fixed = _FIXED.get(chunk)
        match = re.match(f"[0-9]{{{fixed or 1},{fixed or most}}}", self.text)
        if match is None:
            raise Fault("the text has no number where the layout has one")
        return int(self.take(match.end()))

    def name(self, names: tuple[str, ...]) -> int:
        """The place of the name that comes next, in any case. Raises Fault."""
        for place, name in enumerate(names):
            if name and self.text[: len(name)].lower() == name.lower() and self.text[: len(name)].isascii():
                self.take(len(name))
                return place
        raise Fault("the text has no name of a month or day where the layout has one")

    def ranged(self, value: int, least: int, below: int) -> int:
        """The value itself. Raises Fault out of range."""
        if not least <= value < below:
            raise Fault("a part of the date is out of range")
        return value


def parse_time(layout: str, text: str) -> Moment:
    """The moment that a text names by a layout; what the layout leaves out is 1 January of the year 0, midnight.

    Raises Fault when the text does not fit, or names no moment.
    """
    if max(len(layout), len(text)) > limits.MAX_SPELLED_CHARS:
        raise Fault(f"a date or its layout is longer than {limits.MAX_SPELLED_CHARS} characters")
    reading = _Reading(text)
    pos = 0
    chunks = list(CHUNKS.finditer(layout))
    for place, match in enumerate(chunks):
        _skip(reading, layout[pos : match.start()])
        pos = match.end()
        following = chunks[place + 1] if place + 1 < len(chunks) else None
        reads_fraction = following is not None and following.start() >= pos and following[0][0] in ".,"
        _read(reading, match[0], reads_fraction)
    _skip(reading, layout[pos:])
    if reading.text:
        raise Fault("the text goes on where the layout ends")
    return _moment(reading)


def _skip(reading: _Reading, literal: str) -> None:
    """Read what the layout has between its parts; spaces may be more or fewer, but not none."""
    while literal:
        if literal[0] == " ":
            if reading.text and reading.text[0] != " ":
                raise Fault("the text has no space where the layout has one")
            literal, reading.text = literal.lstrip(" "), reading.text.lstrip(" ")
        elif reading.text[:1] == literal[0]:
            literal = literal[1:]
            reading.take(1)
        else:
            raise Fault("the text differs from the layout")


def _read(reading: _Reading, chunk: str, reads_fraction: bool) -> None:
    if chunk in _READERS:
        _READERS[chunk](reading, chunk)
    elif chunk[0] in ".,":
        _read_fraction(reading, chunk)
    elif chunk[0] in "Z-":
        _read_offset(reading, chunk)
    else:
        _read_half(reading, chunk)
    if chunk in ("05", "5") and not reads_fraction and _FRACTION.match(reading.text):
        _read_fraction(reading, ".9")


def _read_year(reading: _Reading, chunk: str) -> None:
    digits = reading.take(len(chunk))
    if not (_YEAR if chunk == "2006" else _SHORT_YEAR).fullmatch(digits):
        raise Fault("the text has no year where the layout has one")
    year = int(digits)
    reading.year = year if chunk == "2006" else year + (1900 if year >= 69 else 2000)


def _read_month(reading: _Reading, chunk: str) -> None:
    if chunk in ("01", "1"):
        reading.month = reading.ranged(reading.number(chunk), 1, 13)
    else:
        reading.month = reading.name(Month.names if chunk == "January" else tuple(name[:3] for name in Month.names))


def _read_weekday(reading: _Reading, chunk: str) -> None:
    reading.name(Weekday.names if chunk == "Monday" else tuple(name[:3] for name in Weekday.names))


def _read_day(reading: _Reading, chunk: str) -> None:
    if chunk == "_2":
        reading.text = reading.text.removeprefix(" ")
    reading.day = reading.number(chunk)


def _read_yearday(reading: _Reading, chunk: str) -> None:
    if chunk == "__2":
        reading.text = reading.text.removeprefix(" ").removeprefix(" ")
    reading.yearday = reading.number(chunk, 3)


def _read_hour(reading: _Reading, chunk: str) -> None:
    reading.hour = reading.ranged(reading.number(chunk), 0, 24 if chunk == "15" else 13)


def _read_minute(reading: _Reading, chunk: str) -> None:
    reading.minute = reading.ranged(reading.number(chunk), 0, 60)


def _read_second(reading: _Reading, chunk: str) -> None:
    reading.second = reading.ranged(reading.number(chunk), 0, 60)


def _read_half(reading: _Reading, chunk: str) -> None:
    half = reading.take(2)
    if half.upper() not in ("AM", "PM") or half.isupper() != chunk.isupper() or half.islower() == chunk.isupper():
        raise Fault("the text has no half of the day where the layout has one")
    reading.afternoon = half.upper() == "PM"


def _read_fraction(reading: _Reading, chunk: str) -> None:
    match = _FRACTION.match(reading.text)
    if chunk[1] == "9":
        digits = reading.take(match.end())[1:] if match else ""
    else:
        if match is None or match.end() < len(chunk):
            raise Fault("the text has no fraction of a second where the layout has one")
        digits = reading.take(len(chunk))[1:]
    if digits:
        reading.nanos = int(digits[:9].ljust(9, "0"))


def _read_offset(reading: _Reading, chunk: str) -> None:
    if chunk[0] == "Z" and reading.text.startswith("Z"):
        reading.take(1)
        reading.offset_s, reading.zone = 0, "UTC"
        return
    match = _OFFSETS[chunk[1:]].match(reading.text)
    if match is None:
        raise Fault("the text has no offset from UTC where the layout has one")
    reading.take(match.end())
    hours, minutes, seconds = (int(part or "0") for part in match.group(2, 3, 4))
    # Some write 24 hours and 60 minutes, and Go lets them.
    reading.ranged(hours, 0, 25)
    reading.ranged(max(minutes, seconds), 0, 61)
    amount = (hours * 60 + minutes) * 60 + seconds
    reading.offset_s = -amount if match[1] == "-" else amount


def _read_zone(reading: _Reading, _chunk: str) -> None:
    if reading.text.startswith("UTC"):
        reading.take(3)
        reading.offset_s, reading.zone = 0, "UTC"
        return
    match = _ZONE.match(reading.text)
    if match is not None:
        reading.zone = reading.take(match.end())
        return
    capitals = _CAPITALS.match(reading.text)
    length = capitals.end() if capitals is not None else 0
    known = length == 3 or (length in (4, 5) and (reading.text[length - 1] == "T" or reading.text[:4] == "WITA"))
    if not known or (length == 5 and reading.text[4] != "T"):
        raise Fault("the text has no time zone where the layout has one")
    reading.zone = reading.take(length)


_READERS: Final[dict[str, Callable[[_Reading, str], None]]] = {
    **dict.fromkeys(("2006", "06"), _read_year),
    **dict.fromkeys(("January", "Jan", "01", "1"), _read_month),
    **dict.fromkeys(("Monday", "Mon"), _read_weekday),
    **dict.fromkeys(("02", "_2", "2"), _read_day),
    **dict.fromkeys(("002", "__2"), _read_yearday),
    **dict.fromkeys(("15", "03", "3"), _read_hour),
    **dict.fromkeys(("04", "4"), _read_minute),
    **dict.fromkeys(("05", "5"), _read_second),
    "MST": _read_zone,
}


def _moment(reading: _Reading) -> Moment:
    hour = reading.hour
    if reading.afternoon and hour < 12:
        hour += 12
    elif reading.afternoon is False and hour == 12:
        hour = 0
    month, day = _month_and_day(reading)
    if not 1 <= day <= days_in(month, reading.year):
        raise Fault("the day of the month is out of range")
    clock = (hour * 60 + reading.minute) * 60 + reading.second
    seconds = days_to(reading.year, month, day) * DAY_S + clock
    if reading.offset_s is not None:
        return moment(seconds - reading.offset_s, reading.nanos, reading.offset_s, _zone_name(reading))
    if reading.zone.startswith("GMT") and len(reading.zone) > 3:
        return moment(seconds, reading.nanos, int(reading.zone[3:]) * 3600, reading.zone)
    return moment(seconds, reading.nanos, 0, reading.zone or "UTC")


def _zone_name(reading: _Reading) -> str:
    return "UTC" if reading.offset_s == 0 and reading.zone in ("", "UTC") else reading.zone


def _month_and_day(reading: _Reading) -> tuple[int, int]:
    if reading.yearday is None:
        return reading.month or 1, 1 if reading.day is None else reading.day
    reading.ranged(reading.yearday, 1, 367 if is_leap(reading.year) else 366)
    month, day = 1, reading.yearday
    while day > days_in(month, reading.year):
        day -= days_in(month, reading.year)
        month += 1
    if reading.month not in (None, month) or reading.day not in (None, day):
        raise Fault("the day of the year is another one than the day of the month")
    return month, day
