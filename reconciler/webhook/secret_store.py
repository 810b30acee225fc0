"""Certificates of our own making, in a Secret that all replicas share.

Every change is written on top of what was read, so of two replicas that want one at once the second reads what the
first has written and follows it. A Secret that is deleted or spoilt is written again from memory.
Fed by: the Secret, rotation.py. Feeds: keeper.py. Never: logs a key.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Any, Final

import structlog

from reconciler.webhook.certificates import KeyPair, make_key_pair, read_key_pair, split_bundle
from reconciler.webhook.rotation import Kept, Offer, Policy, advance
from shared.clock import Clock
from shared.errors import InvalidError, ObjectConflict, ObjectNotFound
from shared.kube import SECRETS, KubeClient

__all__ = ["SecretStore"]

log = structlog.get_logger(__name__)

_TRIES: Final = 5
_CURRENT: Final = ("ca.crt", "tls.crt", "tls.key")
"""The names that every tool knows: the Secret is of type kubernetes.io/tls."""
_FOLLOWING: Final = ("next-ca.crt", "next.crt", "next.key")
_PAST: Final = "past-ca.crt"


class SecretStore:
    """One Secret."""

    def __init__(
        self, client: KubeClient, place: tuple[str, str], names: frozenset[str], clock: Clock, policy: Policy
    ) -> None:
        self._client = client
        self._namespace, self._name = place
        self._names = names
        self._clock = clock
        self._policy = policy
        self._last: Kept | None = None

    def look(self, is_settled: Callable[[bytes], bool]) -> Offer:
        """What is to be served and trusted now; makes and renews as it is due. Raises ClusterError."""
        for _ in range(_TRIES - 1):
            try:
                return self._look_once(is_settled)
            except ObjectConflict:
                log.info("another replica has written the certificates first, looking again", secret=self._name)
        return self._look_once(is_settled)

    def _look_once(self, is_settled: Callable[[bytes], bool]) -> Offer:
        now_s = self._clock.wall_s()
        secret = self._get()
        found = _decode(secret.get("data")) if secret else None
        if secret and found is None:
            log.warning("the Secret does not hold certificates that can be used, writing it anew", secret=self._name)
        kept = advance(found or self._last, self._names, now_s, self._make, is_settled)
        if found is None or kept != found:
            self._put(secret, kept)
        self._last = kept
        return kept.offer(now_s)

    def _make(self, names: frozenset[str]) -> KeyPair:
        log.info("making a certificate", names=sorted(names), life_s=self._policy.life_s)
        return make_key_pair(names, self._clock.wall_s(), self._policy.life_s)

    def _get(self) -> dict[str, Any] | None:
        try:
            return self._client.get(SECRETS, self._namespace, self._name)
        except ObjectNotFound:
            return None

    def _put(self, secret: Mapping[str, Any] | None, kept: Kept) -> None:
        data = _encode(kept)
        if secret is not None:
            self._client.replace(SECRETS, {**secret, "data": data})
            return
        metadata = {
            "namespace": self._namespace,
            "name": self._name,
            "labels": {"app.kubernetes.io/name": "rowplane-webhook"},
        }
        body = {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": metadata, "data": data}
        self._client.create(SECRETS, body)


def _encode(kept: Kept) -> dict[str, str]:
    texts: dict[str, bytes] = {}
    for keys, pair in ((_CURRENT, kept.current), (_FOLLOWING, kept.following)):
        if pair is not None:
            texts |= zip(keys, (pair.authority, pair.certificate, pair.key), strict=True)
    if kept.past:
        texts[_PAST] = b"".join(kept.past)
    return {key: base64.b64encode(text).decode() for key, text in texts.items()}


def _decode(data: object) -> Kept | None:
    """What a Secret's data holds; None when that cannot be used."""
    if not isinstance(data, dict):
        return None
    try:
        texts = {key: base64.b64decode(value, validate=True) for key, value in data.items() if isinstance(value, str)}
        current = read_key_pair(*(texts[key] for key in _CURRENT))
        following = read_key_pair(*(texts[key] for key in _FOLLOWING)) if _FOLLOWING[0] in texts else None
    except (binascii.Error, KeyError, InvalidError):
        return None
    if not current.authority:
        return None
    return Kept(current, following, split_bundle(texts.get(_PAST, b"")))
