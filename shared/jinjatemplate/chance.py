"""The present moment and chance, for forms that ask for them: `now()`, `uuid4()` and the filter `random`.

Fed by: the `Sources` of a rendering. Feeds: compiled templates. Never: draws from anything but the `Sources`; the same
moment and the same bytes give the same text.
"""

import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from jinja2.runtime import Context

from shared.gotemplate import Sources
from shared.jinjatemplate.budget import Budget, budget_of
from shared.jinjatemplate.filters import bound
from shared.jinjatemplate.values import Fault, Function

_FORMAT: Final = re.compile("(?:[^%]|%[aAbBcdfHIjmMpSUwWxXyYzZ%])*")
_MAX_FORMAT: Final = 200
_ISO: Final = "%Y-%m-%dT%H:%M:%SZ"
_DRAW_BYTES: Final = 8


def _sources(budget: Budget) -> Sources:
    if budget.sources is None:
        raise Fault("this rendering has no clock and no random numbers")
    return budget.sources


def _now(budget: Budget, form: str = _ISO) -> str:
    """The present moment in UTC, by a format of strftime."""
    if len(form) > _MAX_FORMAT or not _FORMAT.fullmatch(form):
        raise Fault("a format of time has at most 200 characters, and after % one letter that strftime knows")
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=_sources(budget).now_s())
    return moment.strftime(form)


def _uuid4(budget: Budget) -> str:
    """A random UUID."""
    return str(uuid.UUID(bytes=_sources(budget).random_bytes(16), version=4))


def _random(context: Context, value: Sequence[object]) -> object:
    """An item of a list or text; 64 bits are drawn, so that the remainder favours none noticeably."""
    if not value:
        return context.environment.undefined("no random item, the sequence was empty")
    drawn = int.from_bytes(_sources(budget_of(context)).random_bytes(_DRAW_BYTES), "big")
    return value[drawn % len(value)]


def _lead(context: Context) -> tuple[object, ...]:
    return (context,)


FUNCTIONS: Final[Mapping[str, Function]] = {"now": Function("now", _now), "uuid4": Function("uuid4", _uuid4)}
"""Global functions, by name."""

FILTERS: Final[Mapping[str, Callable[..., Any]]] = {"random": bound("random", _random, _lead)}
"""Filters, by name."""
