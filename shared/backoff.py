"""Delays between tries: exponential, capped, with jitter handed in.

Fed by: supervisors and queues. Feeds: them. Never: sleeps or draws random numbers itself.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Backoff"]


@dataclass(frozen=True, slots=True)
class Backoff:
    """`delay_s(n, jitter)` = first · 2ⁿ, at most `cap_s`, spread over its upper half by `jitter` in [0, 1)."""

    first_s: float = 0.2
    cap_s: float = 10.0

    def delay_s(self, failures: int, jitter: float) -> float:
        """Seconds to wait after `failures` failures in a row (0 is the first)."""
        full_s = min(self.cap_s, self.first_s * 2.0 ** min(failures, 32))
        return full_s * (0.5 + 0.5 * jitter)
