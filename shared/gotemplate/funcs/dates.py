"""Dates and durations of given moments; nothing here reads the clock.

Fed by: `funcs.FUNCTIONS`. Feeds: compiled templates. Never: knows a time zone but UTC (the zones of a machine differ,
and the same row must render to the same text everywhere).
Source of the rules: Sprig v3, "Date Functions"; Go package time (durations). Without a date Sprig takes the present
moment; that is a Fault here.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Final

from shared.gotemplate.errors import Fault
from shared.gotemplate.funcs.calendar import DAY_S, SECOND_NS, Moment, Month, Weekday, days_to
from shared.gotemplate.funcs.calendar import moment as make_moment
from shared.gotemplate.funcs.dateparse import parse_time
from shared.gotemplate.funcs.layouts import format_time
from shared.gotemplate.funcs.numbers import decimal_int
from shared.gotemplate.funcs.registry import group
from shared.gotemplate.values import Int32, Int64, Struct, wrap64

_UNITS: Final[dict[str, int]] = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": SECOND_NS,
    "m": 60 * SECOND_NS,
    "h": 3600 * SECOND_NS,
}
_DURATION_PART = re.compile(r"(\d*)(?:\.(\d*))?(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_ROUNDED: Final = (("y", 365 * 24 * 3600), ("mo", 30 * 24 * 3600), ("d", 24 * 3600), ("h", 3600), ("m", 60), ("s", 1))
_UTC_NAMES = frozenset({"UTC", "Local", ""})


@dataclass(frozen=True, slots=True)
class Time(Struct):
    """Go's time.Time."""

    at: Moment

    go_type: ClassVar[str] = "time.Time"

    def text(self) -> str:
        """As Go's Time.String prints it."""
        return format_time(self.at, "2006-01-02 15:04:05.999999999 -0700 MST")

    def json(self) -> str:
        """RFC 3339. Raises Fault for years beyond it."""
        if not 0 <= self.at.civil().year <= 9999:
            raise Fault("json: the year is outside of [0,9999]")
        return format_time(self.at, "2006-01-02T15:04:05.999999999Z07:00")

    def member(self, name: str) -> Callable[..., object] | None:
        """Its methods."""
        return _METHODS.get(name)


_ZERO = Time(Moment(-62_135_596_800))


def moment_of(value: object) -> Time:
    """A time, or seconds since 1970, as a moment. Raises Fault."""
    if isinstance(value, Time):
        return value
    if type(value) in (int, Int64, Int32) and isinstance(value, int):
        return Time(make_moment(int(value)))
    raise Fault("a date must be given as a time or as seconds since 1970; `toDate` reads one from text")


def date(layout: str, value: object) -> str:
    """A moment by a layout, in UTC."""
    return format_time(moment_of(value).at.utc(), layout)


def date_in_zone(layout: str, value: object, zone: str) -> str:
    """A moment by a layout, in a zone; UTC is the only one."""
    if zone not in _UTC_NAMES:
        raise Fault("this time zone is not available, only UTC is")
    return date(layout, value)


def html_date(value: object) -> str:
    """A moment as year-month-day."""
    return date("2006-01-02", value)


def html_date_in_zone(value: object, zone: str) -> str:
    """A moment as year-month-day in a zone; UTC is the only one."""
    return date_in_zone("2006-01-02", value, zone)


def to_date(layout: str, text: str) -> Time:
    """The moment that a text names by a layout; the year 1 when it names none."""
    try:
        return must_to_date(layout, text)
    except Fault:
        return _ZERO


def must_to_date(layout: str, text: str) -> Time:
    """The moment that a text names by a layout."""
    return Time(parse_time(layout, text))


def unix_epoch(moment: Time) -> str:
    """Seconds since 1970."""
    return str(moment.at.seconds)


def date_modify(change: str, moment: Time) -> Time:
    """The moment moved by a duration such as -1.5h; unmoved when that is no duration."""
    nanoseconds = parse_duration(change)
    return moment if nanoseconds is None else Time(moment.at.moved(nanoseconds))


def must_date_modify(change: str, moment: Time) -> Time:
    """The moment moved by a duration such as -1.5h."""
    nanoseconds = parse_duration(change)
    if nanoseconds is None:
        raise Fault("invalid duration, write it like -1.5h")
    return Time(moment.at.moved(nanoseconds))


def parse_duration(text: str) -> int | None:
    """Nanoseconds of a duration such as 1h30m; None when it is none."""
    body = text[1:] if text[:1] in ("+", "-") else text
    if body == "0":
        return 0
    total = pos = 0
    while pos < len(body):
        match = _DURATION_PART.match(body, pos)
        if match is None or not (match[1] or match[2]) or match.end() - match.start() > 40:
            return None
        unit = _UNITS[match[3]]
        fraction = match[2] or ""
        total += int(match[1] or "0") * unit + int(fraction or "0") * unit // 10 ** len(fraction)
        pos = match.end()
    if not body or total >= 1 << 63:
        return None
    return -total if text.startswith("-") else total


def duration_text(nanoseconds: int) -> str:
    """A duration as Go prints it: 1h30m0s, 1.5s, 20ms."""
    if nanoseconds == 0:
        return "0s"
    sign = "-" if nanoseconds < 0 else ""
    amount = abs(nanoseconds)
    if amount < SECOND_NS:
        for unit in ("ns", "µs", "ms"):
            if amount < _UNITS[unit] * 1000:
                return f"{sign}{_decimal(amount, _UNITS[unit])}{unit}"
    minutes, rest = divmod(amount, 60 * SECOND_NS)
    hours, minutes = divmod(minutes, 60)
    text = _decimal(rest, SECOND_NS) + "s"
    if hours:
        return f"{sign}{hours}h{minutes}m{text}"
    return f"{sign}{minutes}m{text}" if minutes else sign + text


def _decimal(amount: int, unit: int) -> str:
    whole, rest = divmod(amount, unit)
    if not rest:
        return str(whole)
    return f"{whole}.{str(rest).rjust(len(str(unit)) - 1, '0').rstrip('0')}"


def duration(seconds: object) -> str:
    """A number of seconds as a duration."""
    amount = 0
    if isinstance(seconds, str):
        amount = decimal_int(seconds) or 0
    elif type(seconds) is Int64:
        amount = int(seconds)
    nanoseconds = (amount * SECOND_NS + (1 << 63)) % (1 << 64) - (1 << 63)
    return duration_text(nanoseconds)


def duration_round(value: object) -> str:
    """A duration in its largest unit alone: 2h, 3mo."""
    nanoseconds = 0
    if isinstance(value, str):
        nanoseconds = parse_duration(value) or 0
    elif type(value) is Int64:
        nanoseconds = int(value)
    elif isinstance(value, Time):
        raise Fault("the time since a date depends on the present moment; `ago` tells it")
    amount = abs(nanoseconds)
    for unit, seconds in _ROUNDED:
        if amount > seconds * SECOND_NS:
            return f"{amount // (seconds * SECOND_NS)}{unit}"
    return "0s"


def _add_date(moment: Time, years: int, months: int, days: int) -> Time:
    at, civil = moment.at, moment.at.civil()
    date_s = days_to(civil.year + years, civil.month + months, civil.day + days) * DAY_S
    clock_s = (at.seconds + at.offset_s) % DAY_S
    return Time(make_moment(date_s + clock_s - at.offset_s, at.nanos, at.offset_s, at.zone))


def _place(moment: object) -> tuple[int, int]:
    if not isinstance(moment, Time):
        raise Fault("wrong type for value; expected time.Time")
    return moment.at.seconds, moment.at.nanos


_METHODS: Final[dict[str, Callable[..., object]]] = {
    "Format": lambda moment, layout: format_time(moment.at, layout),
    "String": lambda moment: moment.text(),
    "Year": lambda moment: moment.at.civil().year,
    "Month": lambda moment: Month(moment.at.civil().month),
    "Weekday": lambda moment: Weekday(moment.at.civil().weekday),
    "Day": lambda moment: moment.at.civil().day,
    "Hour": lambda moment: moment.at.civil().hour,
    "Minute": lambda moment: moment.at.civil().minute,
    "Second": lambda moment: moment.at.civil().second,
    "Nanosecond": lambda moment: moment.at.nanos,
    "YearDay": lambda moment: moment.at.civil().yearday,
    "Unix": lambda moment: Int64(moment.at.seconds),
    "UnixMilli": lambda moment: wrap64((moment.at.seconds * SECOND_NS + moment.at.nanos) // 1_000_000),
    "UnixMicro": lambda moment: wrap64((moment.at.seconds * SECOND_NS + moment.at.nanos) // 1_000),
    "UnixNano": lambda moment: wrap64(moment.at.seconds * SECOND_NS + moment.at.nanos),
    "UTC": lambda moment: Time(moment.at.utc()),
    "Local": lambda moment: Time(moment.at.utc()),
    "IsZero": lambda moment: _place(moment) == _place(_ZERO),
    "AddDate": _add_date,
    "Before": lambda moment, other: _place(moment) < _place(other),
    "After": lambda moment, other: _place(moment) > _place(other),
    "Equal": lambda moment, other: _place(moment) == _place(other),
    "Compare": lambda moment, other: (_place(moment) > _place(other)) - (_place(moment) < _place(other)),
}

FUNCTIONS = group(
    {
        "date": date,
        "date_in_zone": date_in_zone,
        "dateInZone": date_in_zone,
        "htmlDate": html_date,
        "htmlDateInZone": html_date_in_zone,
        "toDate": to_date,
        "mustToDate": must_to_date,
        "unixEpoch": unix_epoch,
        "date_modify": date_modify,
        "dateModify": date_modify,
        "must_date_modify": must_date_modify,
        "mustDateModify": must_date_modify,
        "duration": duration,
        "durationRound": duration_round,
    }
)
