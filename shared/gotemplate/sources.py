"""What a rendering may ask of the world, handed in by the caller: the present moment and random bytes.

Fed by: callers that admit non-deterministic functions. Feeds: `now`, `uuidv4`, `randAlphaNum` and their like. Never:
read by a template that was compiled without `nondeterministic`.
"""

from typing import Protocol


class Sources(Protocol):
    """A clock and a source of random bytes."""

    def now_s(self) -> float:
        """Seconds since 1970."""
        ...

    def random_bytes(self, count: int) -> bytes:
        """So many random bytes, fit for passwords."""
        ...
