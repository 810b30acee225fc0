"""Admission that refuses Services whose name begins with a prefix: by a policy of the cluster, and by a webhook.

The API server answers with another status and in other words: 422 for a policy, 403 for a webhook.
Fed by: fault tests. Feeds: the API server. Never: sees another namespace's objects.
"""

from __future__ import annotations

import base64
import json
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

from deploy.stack import certificates
from shared.errors import ClusterError
from shared.kube import KubeClient, ResourceType
from tests.product import eventually

__all__ = ["Denial", "by_policy", "by_webhook"]

Denial = Callable[[KubeClient, str, str], AbstractContextManager[None]]
"""(client, namespace, prefix) → in force while it is open."""

_GROUP: Final = "admissionregistration.k8s.io/v1"
_POLICIES: Final = ResourceType(_GROUP, "ValidatingAdmissionPolicy", "validatingadmissionpolicies", namespaced=False)
_BINDINGS: Final = ResourceType(
    _GROUP, "ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings", namespaced=False
)
_WEBHOOKS: Final = ResourceType(
    _GROUP, "ValidatingWebhookConfiguration", "validatingwebhookconfigurations", namespaced=False
)
_SERVICES: Final = ResourceType("v1", "Service", "services")
_RULE: Final = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["services"], "operations": ["CREATE", "DELETE"]}
_IN_FORCE_S: Final = 30.0


@contextmanager
def by_policy(client: KubeClient, namespace: str, prefix: str) -> Iterator[None]:
    """ValidatingAdmissionPolicy."""
    which = "(object == null ? oldObject : object).metadata.name"
    spec = {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": [_RULE]},
        "validations": [{"expression": f"!{which}.startsWith('{prefix}-')", "message": f"{prefix} is not wanted"}],
    }
    binding = {
        "policyName": namespace,
        "validationActions": ["Deny"],
        "matchResources": {"namespaceSelector": _only(namespace)},
    }
    with _applied(client, namespace, prefix, (_POLICIES, {"spec": spec}), (_BINDINGS, {"spec": binding})):
        yield


@contextmanager
def by_webhook(client: KubeClient, namespace: str, prefix: str) -> Iterator[None]:
    """An admission webhook on a port of its own."""
    with tempfile.TemporaryDirectory() as directory:
        keys = Path(directory)
        certificates.ensure(keys)
        server = ThreadingHTTPServer(("127.0.0.1", 0), _judge(prefix))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(keys / "apiserver.crt", keys / "apiserver.key")
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, name="admission", daemon=True)
        thread.start()
        webhook = {
            "name": "names.rowplane.test",
            "clientConfig": {
                "url": f"https://127.0.0.1:{server.server_port}/",
                "caBundle": base64.b64encode((keys / "ca.crt").read_bytes()).decode(),
            },
            "rules": [_RULE],
            "namespaceSelector": _only(namespace),
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "failurePolicy": "Fail",
        }
        try:
            with _applied(client, namespace, prefix, (_WEBHOOKS, {"webhooks": [webhook]})):
                yield
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


def _judge(prefix: str) -> type[BaseHTTPRequestHandler]:
    class Judge(BaseHTTPRequestHandler):
        """Of AdmissionReviews."""

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["request"]
            allowed = not str(request["name"]).startswith(f"{prefix}-")
            answer: dict[str, Any] = {"uid": request["uid"], "allowed": allowed}
            if not allowed:
                answer["status"] = {"message": f"{prefix} is not wanted"}
            review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": answer}
            body = json.dumps(review).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Judge


def _only(namespace: str) -> dict[str, Any]:
    return {"matchLabels": {"kubernetes.io/metadata.name": namespace}}


@contextmanager
def _applied(
    client: KubeClient, name: str, prefix: str, *objects: tuple[ResourceType, dict[str, Any]]
) -> Iterator[None]:
    """Objects of the cluster, from when they are in force until they are so no more."""
    for kind, body in objects:
        document = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": name}, **body}
        client.apply(kind, document, manager="rowplane-test")
    try:
        eventually(lambda: _is_refused(client, name, prefix), "the denial is in force", _IN_FORCE_S)
        yield
    finally:
        for kind, _ in reversed(objects):
            client.delete(kind, "", name)
        eventually(lambda: not _is_refused(client, name, prefix), "the denial is lifted", _IN_FORCE_S)


def _is_refused(client: KubeClient, namespace: str, prefix: str) -> bool:
    """By a dry run."""
    probe = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": f"{prefix}-probe", "namespace": namespace},
        "spec": {"ports": [{"port": 80}]},
    }
    try:
        client.apply(_SERVICES, probe, manager="rowplane-test", dry_run=True)
    except ClusterError:
        return True
    return False
