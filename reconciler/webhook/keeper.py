"""Keeps what is served and what the API server trusts in step, again and again, from a thread of its own.

Fed by: a source of certificates (secret_store.py, cert_directory.py). Feeds: server.py (what to serve),
registration.py (whom to trust). Never: ends because of the cluster's trouble; the last certificate is served on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import structlog

from reconciler.webhook.certificates import KeyPair
from reconciler.webhook.metrics import Metrics
from reconciler.webhook.rotation import Offer
from shared.errors import RowplaneError

__all__ = ["Announcer", "Keeper", "Source"]

log = structlog.get_logger(__name__)

CHECK_S: Final = 5.0


class Source(Protocol):
    """Where certificates come from."""

    def look(self, is_settled: Callable[[bytes], bool]) -> Offer:
        """What to serve and whom to trust now; `is_settled` tells of an authority whether the API server knows it."""


class Announcer(Protocol):
    """Where the authorities that the API server has to trust are written (registration.py)."""

    def ensure(self, authorities: Sequence[bytes]) -> None:
        """Write what is missing or different. Raises ClusterError."""

    def is_settled(self, authority: bytes) -> bool:
        """Whether it has stood there for long enough to be known everywhere."""


class Keeper:
    """One thread; `check` is one look at everything."""

    def __init__(
        self,
        source: Source,
        registration: Announcer | None,
        serve: Callable[[KeyPair], None],
        metrics: Metrics,
        check_s: float = CHECK_S,
    ) -> None:
        self._source = source
        self._registration = registration
        """None when others write the webhook configurations and their caBundle."""
        self._serve = serve
        self._metrics = metrics
        self._check_s = check_s
        self._served: KeyPair | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="certificates", daemon=True)

    def check(self) -> None:
        """Look and mend once. Raises RowplaneError."""
        registration = self._registration
        offer = self._source.look(registration.is_settled if registration else lambda _authority: True)
        if self._served is None:
            self._change(offer.serve)  # the first one is served before anybody is told to call
        if registration:
            registration.ensure(offer.authorities)
        if self._served != offer.serve:
            self._change(offer.serve)

    def start(self) -> None:
        """Check from now on, every few seconds."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; it may be in the middle of a call, which is not awaited for long."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(1.0)

    def _change(self, pair: KeyPair) -> None:
        self._serve(pair)
        self._served = pair
        self._metrics.certificate_ends.set(pair.not_after_s)
        log.info("serving a certificate", names=sorted(pair.names), ends_s=round(pair.not_after_s))

    def _run(self) -> None:
        while not self._stop.wait(self._check_s):
            try:
                self.check()
            except RowplaneError as error:
                self._metrics.check_failures.inc()
                log.warning("certificates or registration cannot be checked, trying again", error=str(error))
            except Exception:  # the thread must outlive whatever it finds
                self._metrics.check_failures.inc()
                log.exception("the check of certificates failed, trying again")
