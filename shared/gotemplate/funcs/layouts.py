"""Go's date layouts: `2006-01-02 15:04:05`, written and read.

Fed by: the date functions. Feeds: text and datetimes. Never: reads the clock or a time zone file; a zone's abbreviation
other than UTC counts as UTC, as Go does for names it does not know.
Source of the rules: Go package time, "Layout", Time.Format, time.Parse.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

from shared.gotemplate.errors import Fault

_MONTHS: Final = (
    "January February March April May June July August September October November December".split()  # noqa: SIM905
)
_DAYS: Final = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()  # noqa: SIM905
_CHUNKS: Final = re.compile(
    r"January|Jan(?![a-z])|Monday|Mon(?![a-z])|MST|2006|__2|002|_2(?!006)|01|02|03|04|05|06"
    r"|15|PM|pm|Z070000|Z07:00:00|Z0700|Z07:00|Z07|-070000|-07:00:00|-0700|-07:00|-07"
    r"|[.,](?:0+|9+)(?![0-9])|1|2|3|4|5"
)


def _offset(at: datetime, chunk: str) -> str:
    shift = at.utcoffset() or timedelta()
    seconds = int(shift.total_seconds())
    if chunk[0] == "Z" and seconds == 0:
        return "Z"
    sign, seconds = ("-", -seconds) if seconds < 0 else ("+", seconds)
    colon = ":" if ":" in chunk else ""
    parts = [f"{seconds // 3600:02d}"]
    digits = len(re.sub(r"[^0-9]", "", chunk))
    if digits >= 4:
        parts.append(f"{seconds % 3600 // 60:02d}")
    if digits >= 6:
        parts.append(f"{seconds % 60:02d}")
    return sign + colon.join(parts)


def _fraction(at: datetime, chunk: str) -> str:
    digits = f"{at.microsecond * 1000:09d}"[: len(chunk) - 1].ljust(len(chunk) - 1, "0")
    if chunk[1] == "9":
        digits = digits.rstrip("0")
    return chunk[0] + digits if digits else ""


def _hour12(at: datetime) -> int:
    return at.hour % 12 or 12


_WRITERS: Final[dict[str, Callable[[datetime], str]]] = {
    "January": lambda at: _MONTHS[at.month - 1],
    "Jan": lambda at: _MONTHS[at.month - 1][:3],
    "Monday": lambda at: _DAYS[at.weekday()],
    "Mon": lambda at: _DAYS[at.weekday()][:3],
    "MST": lambda at: "UTC" if not at.utcoffset() else _offset(at, "-0700"),
    "2006": lambda at: f"{at.year:04d}",
    "06": lambda at: f"{at.year % 100:02d}",
    "01": lambda at: f"{at.month:02d}",
    "1": lambda at: str(at.month),
    "02": lambda at: f"{at.day:02d}",
    "_2": lambda at: f"{at.day:2d}",
    "2": lambda at: str(at.day),
    "002": lambda at: f"{at.timetuple().tm_yday:03d}",
    "__2": lambda at: f"{at.timetuple().tm_yday:3d}",
    "15": lambda at: f"{at.hour:02d}",
    "03": lambda at: f"{_hour12(at):02d}",
    "3": lambda at: str(_hour12(at)),
    "04": lambda at: f"{at.minute:02d}",
    "4": lambda at: str(at.minute),
    "05": lambda at: f"{at.second:02d}",
    "5": lambda at: str(at.second),
    "PM": lambda at: "PM" if at.hour >= 12 else "AM",
    "pm": lambda at: "pm" if at.hour >= 12 else "am",
}


def format_time(at: datetime, layout: str) -> str:
    """A moment by a layout."""

    def written(match: re.Match[str]) -> str:
        chunk = match.group()
        if chunk in _WRITERS:
            return _WRITERS[chunk](at)
        return _fraction(at, chunk) if chunk[0] in ".," else _offset(at, chunk)

    return _CHUNKS.sub(written, layout)


_READERS: Final[dict[str, str]] = {
    "January": r"(?P<month_name>[A-Za-z]+)",
    "Jan": r"(?P<month_name>[A-Za-z]{3})",
    "Monday": r"[A-Za-z]+",
    "Mon": r"[A-Za-z]{3}",
    "MST": r"[A-Z]{3,4}",
    "2006": r"(?P<year>\d{4})",
    "06": r"(?P<year2>\d{2})",
    "01": r"(?P<month>\d{2})",
    "1": r"(?P<month>\d{1,2})",
    "02": r"(?P<day>\d{2})",
    "_2": r" ?(?P<day>\d{1,2})",
    "2": r"(?P<day>\d{1,2})",
    "002": r"(?P<yearday>\d{3})",
    "__2": r" {0,2}(?P<yearday>\d{1,3})",
    "15": r"(?P<hour>\d{2})",
    "03": r"(?P<hour12>\d{2})",
    "3": r"(?P<hour12>\d{1,2})",
    "04": r"(?P<minute>\d{2})",
    "4": r"(?P<minute>\d{1,2})",
    "05": r"(?P<second>\d{2})(?P<fraction>[.,]\d+)?",
    "5": r"(?P<second>\d{1,2})(?P<fraction>[.,]\d+)?",
    "PM": r"(?P<half>AM|PM)",
    "pm": r"(?P<half>am|pm)",
}


def _reader(layout: str) -> re.Pattern[str]:
    parts: list[str] = []
    pos = 0
    has_fraction = re.search(r"[.,](?:0+|9+)(?![0-9])", layout) is not None
    for match in _CHUNKS.finditer(layout):
        parts.append(re.escape(layout[pos : match.start()]))
        chunk = match.group()
        pos = match.end()
        if chunk in _READERS:
            reader = _READERS[chunk]
            parts.append(reader.partition("(?P<fraction>")[0] if has_fraction else reader)
        elif chunk[0] in ".,":
            width = f"{{{len(chunk) - 1}}}" if chunk[1] == "0" else "+"
            parts.append(rf"(?P<fraction>[.,]\d{width})" + ("?" if chunk[1] == "9" else ""))
        else:
            digits = r"\d{2}" + (r":?\d{2}" if len(chunk) > 3 else "")
            parts.append(rf"(?P<offset>{'Z|' if chunk[0] == 'Z' else ''}[+-]{digits})")
    parts.append(re.escape(layout[pos:]))
    try:
        return re.compile("".join(parts), re.ASCII)
    except re.error:
        raise Fault("the layout names a part of the date twice") from None


def parse_time(layout: str, text: str) -> datetime:
    """The moment that a text names by a layout; without a date it is on 1 January of the year 1.

    Raises Fault when the text does not fit, or names no moment.
    """
    match = _reader(layout).fullmatch(text)
    if match is None:
        raise Fault("the text is no date of this layout")
    found = {name: value for name, value in match.groupdict().items() if value is not None}
    try:
        moment = datetime(_year(found), _month(found), int(found.get("day", "1")), tzinfo=_zone(found))
        if "yearday" in found:
            moment += timedelta(days=int(found["yearday"]) - 1)
        clock = timedelta(minutes=int(found.get("minute", "0")), seconds=int(found.get("second", "0")))
        if int(found.get("minute", "0")) > 59 or int(found.get("second", "0")) > 59 or _hour(found) > 23:
            raise Fault("the time of day is out of range")
        micros = int(found.get("fraction", ".0")[1:].ljust(6, "0")[:6])
        return moment + clock + timedelta(hours=_hour(found), microseconds=micros)
    except (ValueError, OverflowError) as error:
        raise Fault(f"the text names no date: {error}") from None


def _year(found: dict[str, str]) -> int:
    if "year2" in found:
        short = int(found["year2"])
        return short + (1900 if short >= 69 else 2000)
    return int(found.get("year", "1"))


def _month(found: dict[str, str]) -> int:
    name = found.get("month_name")
    if name is None:
        return int(found.get("month", "1"))
    for number, month in enumerate(_MONTHS, 1):
        if name.lower() in (month.lower(), month[:3].lower()):
            return number
    raise Fault("the text names no month")


def _hour(found: dict[str, str]) -> int:
    if "hour12" not in found:
        return int(found.get("hour", "0"))
    hour = int(found["hour12"])
    half = found.get("half", "").lower()
    if hour > 12:
        raise Fault("hour out of range")
    if half == "pm" and hour < 12:
        return hour + 12
    return 0 if half == "am" and hour == 12 else hour


def _zone(found: dict[str, str]) -> timezone:
    offset = found.get("offset", "Z").replace(":", "")
    if offset == "Z":
        return UTC
    shift = timedelta(hours=int(offset[1:3]), minutes=int(offset[3:5] or "0"))
    return timezone(-shift if offset[0] == "-" else shift)
