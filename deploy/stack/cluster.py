"""The few calls that the stack makes to a Kubernetes API server, over plain HTTPS.

Fed by: a kubeconfig file. Feeds: `kubernetes`, `external`, `docker`, `product`. Never: deletes anything.
"""

import base64
import json
import ssl
import tempfile
from pathlib import Path
from typing import Any

import urllib3
import yaml

from deploy.stack.errors import StackError

_TIMEOUT = urllib3.Timeout(connect=2.0, read=10.0)
_FIELD_MANAGER = "rowplane-stack"


class Cluster:
    """A connection to the API server that a kubeconfig's current context names."""

    def __init__(self, kubeconfig: Path) -> None:
        self._kubeconfig = kubeconfig
        try:
            document = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))
            context = _named(document, "context", document["current-context"])
            cluster = _named(document, "cluster", context["cluster"])
            user = _named(document, "user", context["user"])
            self._server = str(cluster["server"]).rstrip("/")
        except OSError as error:
            raise StackError(f"kubeconfig {kubeconfig} cannot be read: {error.strerror}") from error
        except (KeyError, TypeError, yaml.YAMLError) as error:
            raise StackError(f"{kubeconfig} is no kubeconfig with a usable current context") from error
        self._headers = {"Authorization": f"Bearer {user['token']}"} if "token" in user else {}
        self._pool = urllib3.PoolManager(ssl_context=_ssl_context(cluster, user), retries=False, timeout=_TIMEOUT)

    def get(self, path: str) -> tuple[int, str]:
        """Return status and body of a GET; status 0 with the reason if there is no answer."""
        return self._send("GET", path)

    def apply(self, path: str, manifest: dict[str, Any]) -> None:
        """Server-side apply one object; raises StackError with the server's answer if it is refused."""
        query = f"?fieldManager={_FIELD_MANAGER}&force=true"
        status, body = self._send("PATCH", path + query, json.dumps(manifest))
        if status not in (200, 201):
            raise StackError(f"{self._server}{path} was not applied: status {status}: {body[:400]}")

    def require(self, variable: str) -> None:
        """Raise StackError unless the API server answers and lets us list nodes."""
        status, body = self.get("/api/v1/nodes?limit=1")
        if status != 200:
            raise StackError(f"{self._server} does not serve us: {status} {body[:200]}; check {variable}")

    def _send(self, method: str, path: str, body: str | None = None) -> tuple[int, str]:
        headers = self._headers | ({"Content-Type": "application/apply-patch+yaml"} if body else {})
        try:
            answer = self._pool.request(method, self._server + path, body=body, headers=headers)
        except urllib3.exceptions.HTTPError as error:
            return 0, str(error)
        return answer.status, answer.data.decode(errors="replace")


def _named(document: dict[str, Any], kind: str, name: str) -> dict[str, Any]:
    """Return the entry of a kubeconfig list such as `clusters` by its name."""
    entries = {entry["name"]: entry[kind] for entry in document[f"{kind}s"]}
    found = entries[name]
    return found if isinstance(found, dict) else {}


def _ssl_context(cluster: dict[str, Any], user: dict[str, Any]) -> ssl.SSLContext:
    """Return the TLS settings of a kubeconfig's cluster and user (inline data or files)."""
    authority = _pem(cluster, "certificate-authority")
    context = ssl.create_default_context(cadata=authority)
    certificate, key = _pem(user, "client-certificate"), _pem(user, "client-key")
    if certificate and key:
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:  # ssl reads key pairs from files only
            file.write(certificate + "\n" + key)
            file.flush()
            context.load_cert_chain(file.name)
    return context


def _pem(entry: dict[str, Any], name: str) -> str | None:
    if f"{name}-data" in entry:
        return base64.b64decode(entry[f"{name}-data"]).decode()
    return Path(entry[name]).read_text(encoding="utf-8") if name in entry else None
