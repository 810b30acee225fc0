"""The account of a hub: what the hub says of it, with what its Secrets hold.

Fed by: hubs, the API server. Feeds: the control thread. Never: keeps what a Secret holds, or prints it.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

from cdc.ports import Login, Tls
from shared.errors import ObjectNotFound, SourceRefused
from shared.kube import SECRETS, KubeClient
from shared.model.hub import Hub, MysqlSource, MysqlTls

__all__ = ["SecretLogins"]


class SecretLogins:
    """Port `Logins`."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client

    def login(self, hub: Hub) -> Login:
        """See the port."""
        source, namespace = _source(hub), hub.metadata.namespace
        password = ""
        if (ref := source.password_ref) is not None:
            mend = f"kubectl -n {namespace} create secret generic {ref.name} --from-literal={ref.key}=<password>"
            password = self._text(namespace, ref.name, ref.key, mend)
        tls = self._tls(namespace, source.tls) if source.tls is not None else None
        return Login(source.host, source.port, source.username, password, tls)

    def secrets_version(self, hub: Hub) -> str:
        """See the port."""
        source, namespace = _source(hub), hub.metadata.namespace
        refs = [source.password_ref, source.tls and source.tls.ca_ref, source.tls and source.tls.cert_ref]
        return " ".join(self._version(namespace, name) for name in sorted({ref.name for ref in refs if ref}))

    def _version(self, namespace: str, name: str) -> str:
        try:
            return str(self._client.get(SECRETS, namespace, name)["metadata"]["resourceVersion"])
        except ObjectNotFound:
            return "-"

    def _tls(self, namespace: str, wish: MysqlTls) -> Tls:
        ca = certificate = key = ""
        if (ref := wish.ca_ref) is not None:
            mend = f"kubectl -n {namespace} create secret generic {ref.name} --from-file={ref.key}=<ca.pem>"
            ca = self._text(namespace, ref.name, ref.key, mend)
        if wish.cert_ref is not None:
            name = wish.cert_ref.name
            mend = f"kubectl -n {namespace} create secret tls {name} --cert=<client.pem> --key=<client-key.pem>"
            certificate = self._text(namespace, name, "tls.crt", mend)
            key = self._text(namespace, name, "tls.key", mend)
        return Tls(wish.mode, ca, certificate, key)

    def _text(self, namespace: str, name: str, key: str, mend: str) -> str:
        try:
            data: dict[str, Any] = self._client.get(SECRETS, namespace, name).get("data") or {}
        except ObjectNotFound as error:
            text = f"Secret {namespace}/{name} does not exist"
            raise SourceRefused(text, mend=mend, reason="SecretMissing") from error
        if key not in data:
            text = f"Secret {namespace}/{name} has no key {key}"
            raise SourceRefused(text, mend=mend, reason="SecretMissing")
        try:
            return base64.b64decode(data[key], validate=True).decode("utf-8")
        except (binascii.Error, UnicodeDecodeError) as error:
            text = f"Secret {namespace}/{name}, key {key} is not UTF-8 text"
            raise SourceRefused(text, mend=mend, reason="SecretMissing") from error


def _source(hub: Hub) -> MysqlSource:
    source = hub.spec.source.mysql
    if source is None:
        raise ValueError("a hub without a mysql block has no account")
    return source
