"""Moments on the proleptic Gregorian calendar, of any year, to the nanosecond.

Fed by: the date functions. Feeds: layouts, both ways. Never: reads the clock or a time zone file.
Source of the rules: Go package time (Time, Date, FixedZone); Hinnant, "chrono-Compatible Low-Level Date Algorithms".
"""

from dataclasses import dataclass
from typing import ClassVar, Final, NamedTuple

from shared.gotemplate.errors import Fault
from shared.gotemplate.values import NamedInt

DAY_S: Final = 86_400
SECOND_NS: Final = 1_000_000_000
_FARTHEST_S: Final = 1 << 55
_DAYS_TO_1970_FROM_MARCH_0: Final = 719_468
_ERA_DAYS: Final = 146_097


class Month(NamedInt):
    """Go's time.Month."""

    names: ClassVar[tuple[str, ...]] = (
        "",
        *"January February March April May June July August September October November December".split(),  # noqa: SIM905
    )


class Weekday(NamedInt):
    """Go's time.Weekday, 0 is Sunday."""

    names: ClassVar[tuple[str, ...]] = tuple(
        "Sunday Monday Tuesday Wednesday Thursday Friday Saturday".split()  # noqa: SIM905
    )


class Civil(NamedTuple):
    """A moment as a calendar and a clock show it."""

    year: int
    month: int
    day: int
    hour: int
    minute: int
    second: int
    weekday: int
    """0 is Sunday."""
    yearday: int
    """1 is the first of January."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A point in time, and the zone in which it is shown."""

    seconds: int
    """Since 1970, UTC."""
    nanos: int = 0
    """0 to 999,999,999."""
    offset_s: int = 0
    """Seconds east of UTC."""
    zone: str = "UTC"
    """The zone's abbreviation; "" has none."""

    def moved(self, nanoseconds: int) -> "Moment":
        """The moment later by so much. Raises Fault beyond the farthest year."""
        seconds, nanos = divmod(self.nanos + nanoseconds, SECOND_NS)
        return moment(self.seconds + seconds, nanos, self.offset_s, self.zone)

    def utc(self) -> "Moment":
        """The same point in time, shown in UTC."""
        return Moment(self.seconds, self.nanos)

    def civil(self) -> Civil:
        """Calendar and clock in the moment's zone."""
        days, clock = divmod(self.seconds + self.offset_s, DAY_S)
        year, month, day = _date_of(days)
        minutes, second = divmod(clock, 60)
        hour, minute = divmod(minutes, 60)
        return Civil(year, month, day, hour, minute, second, (days + 4) % 7, days - days_to(year, 1, 1) + 1)


def moment(seconds: int, nanos: int = 0, offset_s: int = 0, zone: str = "UTC") -> Moment:
    """A moment by its seconds since 1970. Raises Fault beyond the farthest year."""
    if abs(seconds) > _FARTHEST_S:
        raise Fault("the date is too far away")
    return Moment(seconds, nanos, offset_s, zone)


def is_leap(year: int) -> bool:
    """Whether a year has 366 days."""
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def days_in(month: int, year: int) -> int:
    """How many days a month has."""
    if month == 2:
        return 29 if is_leap(year) else 28
    return 30 if month in (4, 6, 9, 11) else 31


def days_to(year: int, month: int, day: int) -> int:
    """Days from 1970-01-01 to a date; months and days beyond their range count on, as in Go's Date."""
    year, month = year + (month - 1) // 12, (month - 1) % 12 + 1
    year -= month <= 2
    era, year_of_era = divmod(year, 400)
    day_of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5
    day_of_era = year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year
    return era * _ERA_DAYS + day_of_era - _DAYS_TO_1970_FROM_MARCH_0 + day - 1


def _date_of(days: int) -> tuple[int, int, int]:
    era, day_of_era = divmod(days + _DAYS_TO_1970_FROM_MARCH_0, _ERA_DAYS)
    year = (day_of_era - day_of_era // 1460 + day_of_era // 36524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year + year // 4 - year // 100)
    month = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * month + 2) // 5 + 1
    month += 3 if month < 10 else -9
    return year + era * 400 + (month <= 2), month, day
