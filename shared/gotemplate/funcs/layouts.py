"""Go's date layouts, `2006-01-02 15:04:05`: what they are made of, and moments written by them.

Fed by: the date functions. Feeds: text. Never: reads the clock or a time zone file.
Source of the rules: Go package time, "Layout", Time.Format.
"""

import re
from collections.abc import Callable
from typing import Final

from shared.gotemplate.funcs.calendar import Civil, Moment, Month, Weekday

CHUNKS: Final = re.compile(
    r"January|Jan(?![a-z])|Monday|Mon(?![a-z])|MST|2006|__2|002|_2(?!006)|01|02|03|04|05|06"
    r"|15|PM|pm|Z070000|Z07:00:00|Z0700|Z07:00|Z07|-070000|-07:00:00|-0700|-07:00|-07"
    r"|[.,](?:0+|9+)(?![0-9])|1|2|3|4|5"
)
"""The parts of a layout that stand for a part of a moment."""


def _offset(offset_s: int, chunk: str) -> str:
    if chunk[0] == "Z" and offset_s == 0:
        return "Z"
    sign, seconds = ("-", -offset_s) if offset_s < 0 else ("+", offset_s)
    colon = ":" if ":" in chunk else ""
    parts = [f"{seconds // 3600:02d}", f"{seconds % 3600 // 60:02d}", f"{seconds % 60:02d}"]
    digits = sum(char.isdigit() for char in chunk)
    return sign + colon.join(parts[: digits // 2])


def _fraction(nanos: int, chunk: str) -> str:
    digits = f"{nanos:09d}"[: len(chunk) - 1].ljust(len(chunk) - 1, "0")
    if chunk[1] == "9":
        digits = digits.rstrip("0")
    return chunk[0] + digits if digits else ""


def _year(year: int) -> str:
    return f"-{-year:04d}" if year < 0 else f"{year:04d}"


_WRITERS: Final[dict[str, Callable[[Civil], str]]] = {
    "January": lambda at: Month.names[at.month],
    "Jan": lambda at: Month.names[at.month][:3],
    "Monday": lambda at: Weekday.names[at.weekday],
    "Mon": lambda at: Weekday.names[at.weekday][:3],
    "2006": lambda at: _year(at.year),
    "06": lambda at: f"{max(at.year, 0) % 100:02d}",
    "01": lambda at: f"{at.month:02d}",
    "1": lambda at: str(at.month),
    "02": lambda at: f"{at.day:02d}",
    "_2": lambda at: f"{at.day:2d}",
    "2": lambda at: str(at.day),
    "002": lambda at: f"{at.yearday:03d}",
    "__2": lambda at: f"{at.yearday:3d}",
    "15": lambda at: f"{at.hour:02d}",
    "03": lambda at: f"{at.hour % 12 or 12:02d}",
    "3": lambda at: str(at.hour % 12 or 12),
    "04": lambda at: f"{at.minute:02d}",
    "4": lambda at: str(at.minute),
    "05": lambda at: f"{at.second:02d}",
    "5": lambda at: str(at.second),
    "PM": lambda at: "PM" if at.hour >= 12 else "AM",
    "pm": lambda at: "pm" if at.hour >= 12 else "am",
}


def format_time(moment: Moment, layout: str) -> str:
    """A moment by a layout."""
    civil = moment.civil()

    def written(match: re.Match[str]) -> str:
        chunk = match.group()
        if chunk in _WRITERS:
            return _WRITERS[chunk](civil)
        if chunk == "MST":
            return moment.zone or _offset(moment.offset_s, "-0700")
        return _fraction(moment.nanos, chunk) if chunk[0] in ".," else _offset(moment.offset_s, chunk)

    return CHUNKS.sub(written, layout)
