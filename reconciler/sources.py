"""Time and chance for the templates that may use them: resources that are made once, in forms that ask for it.

Fed by: the clock, the operating system. Feeds: render.py. Never: decides who may ask.
"""

from __future__ import annotations

import secrets

from shared.clock import Clock

__all__ = ["SystemSources"]


class SystemSources:
    """`shared.gotemplate.Sources` of this machine."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def now_s(self) -> float:
        """Seconds since 1970-01-01 UTC."""
        return self._clock.wall_s()

    def random_bytes(self, count: int) -> bytes:
        """Bytes fit for keys and passwords."""
        return secrets.token_bytes(count)
