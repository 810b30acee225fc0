"""When a certificate is renewed, and which authorities the API server has to trust meanwhile.

A renewal has three steps, so that no call finds a certificate that its caller does not trust yet: the next certificate
is made and its authority announced beside the old one; when the announcement has settled it is served; the authority of
the one before stays announced until it ends.
Fed by: secret_store.py, which hands in the time. Feeds: secret_store.py. Never: performs I/O or makes a key itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from reconciler.webhook.certificates import KeyPair, ends_s

__all__ = ["Kept", "Offer", "Policy", "advance"]

_PAST: Final = 4


@dataclass(frozen=True, slots=True)
class Policy:
    """The times of certificates, in seconds."""

    life_s: float = 90 * 86400.0
    """How long a certificate is valid; it is renewed when a third is left."""
    settle_s: float = 60.0
    """How long an authority is announced before what it vouches for is served: every API server has seen it by then."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What a source of certificates wants done."""

    serve: KeyPair
    authorities: tuple[bytes, ...]
    """PEM of those that the API server has to trust; empty when those of its system will do."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What replicas share."""

    current: KeyPair
    following: KeyPair | None = None
    """The next one: announced, not served yet."""
    past: tuple[bytes, ...] = ()
    """Authorities (PEM) of those before, newest first: a replica may not have heard of the change yet."""

    def offer(self, now_s: float) -> Offer:
        """Serve the current one; trust all that have not ended."""
        following = (self.following.authority,) if self.following else ()
        living = (pem for pem in (self.current.authority, *following, *self.past) if ends_s(pem) > now_s)
        return Offer(self.current, tuple(dict.fromkeys(living)))


def renewal_s(pair: KeyPair) -> float:
    """When a pair is due to be renewed, in seconds since 1970: at two thirds of its life."""
    return pair.not_after_s - (pair.not_after_s - pair.not_before_s) / 3


def advance(
    kept: Kept | None,
    names: frozenset[str],
    now_s: float,
    make: Callable[[frozenset[str]], KeyPair],
    is_settled: Callable[[bytes], bool],
) -> Kept:
    """The state that should be kept now; `kept` itself when nothing is due.

    `make` makes a pair for names; `is_settled` tells whether an authority has been announced for long enough.
    """
    if kept is None:
        return Kept(make(names))
    kept = _tidy(kept, now_s)
    following = kept.following
    is_fit = kept.current.stands_for(names, now_s)
    if following and following.stands_for(names, now_s):
        if is_fit and not is_settled(following.authority):
            return kept
        return Kept(following, None, (kept.current.authority, *kept.past)[:_PAST])
    if not is_fit:
        # Names of the one before stay: a replica with other settings may still need them, and would answer in kind.
        return Kept(make(names | kept.current.names), None, (kept.current.authority, *kept.past)[:_PAST])
    if now_s >= renewal_s(kept.current):
        return replace(kept, following=make(names))
    return kept


def _tidy(kept: Kept, now_s: float) -> Kept:
    living = tuple(pem for pem in kept.past if ends_s(pem) > now_s)
    return kept if living == kept.past else replace(kept, past=living)
