"""Certificates that somebody else makes: tls.crt, tls.key and perhaps ca.crt in a directory.

Fed by: files that cert-manager, a person, or the kubelet (which swaps a symbolic link) replaces. Feeds: keeper.py.
Never: writes; files that do not fit together (a swap under way) are looked at again later.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import structlog

from reconciler.webhook.certificates import KeyPair, ends_s, read_key_pair, split_bundle
from reconciler.webhook.rotation import Offer
from shared.clock import Clock
from shared.errors import InvalidError, UsageError

__all__ = ["CertDirectory"]

log = structlog.get_logger(__name__)


class CertDirectory:
    """One directory."""

    def __init__(self, directory: Path, names: frozenset[str], clock: Clock) -> None:
        self._directory = directory
        self._names = names
        self._clock = clock
        self._serving: KeyPair | None = None
        self._past: tuple[bytes, ...] = ()

    def look(self, is_settled: Callable[[bytes], bool]) -> Offer:
        """What lies there now; under a new authority it is served when that has settled, so that no call is refused.

        Raises UsageError when nothing usable has ever been there.
        """
        now_s = self._clock.wall_s()
        found = self._read()
        serving = self._serving
        if serving is None or self._may_serve(found, serving, now_s, is_settled):
            if serving and serving.authority != found.authority:
                self._past = (*split_bundle(serving.authority), *self._past)
            if found != serving:
                self._tell(found, now_s)
            self._serving = serving = found
        if not found.authority:
            return Offer(serving, ())
        announced = (*split_bundle(serving.authority), *split_bundle(found.authority), *self._past)
        return Offer(serving, tuple(dict.fromkeys(pem for pem in announced if ends_s(pem) > now_s)))

    def _may_serve(self, found: KeyPair, serving: KeyPair, now_s: float, is_settled: Callable[[bytes], bool]) -> bool:
        if found.authority == serving.authority or not found.authority or serving.not_after_s <= now_s:
            return True
        return all(is_settled(pem) for pem in split_bundle(found.authority))

    def _read(self) -> KeyPair:
        try:
            authority = self._directory / "ca.crt"
            return read_key_pair(
                authority.read_bytes() if authority.exists() else b"",
                (self._directory / "tls.crt").read_bytes(),
                (self._directory / "tls.key").read_bytes(),
            )
        except (OSError, InvalidError) as error:
            reason = error.text if isinstance(error, InvalidError) else f"{error.strerror}"
            if self._serving is None:
                raise UsageError(
                    f"certificates in {self._directory} cannot be used: {reason}",
                    mend="ROWPLANE_WEBHOOK_CERT_DIR names a directory with tls.crt, tls.key and, unless the system "
                    "trusts it, ca.crt",
                ) from error
            log.warning("certificates cannot be read, the last ones are served on", reason=reason)
            return self._serving

    def _tell(self, found: KeyPair, now_s: float) -> None:
        if not found.stands_for(self._names, now_s):
            log.warning(
                "the certificate has ended, or does not stand for all names that the API server calls",
                names=sorted(found.names),
                called=sorted(self._names),
                ends_in_s=round(found.not_after_s - now_s),
            )
