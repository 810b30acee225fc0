"""A namespace whose hubs and forms a webhook of the test judges, on the real API server.

Fed by: the stack. Feeds: tests of the webhook. Never: lets the webhook see another test's objects: its configurations
select the namespace, and go with it.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import secrets
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest
import urllib3
import yaml

from deploy.stack.endpoints import Endpoints
from reconciler.webhook import server
from reconciler.webhook.admission import Stage
from reconciler.webhook.app import Webhook
from reconciler.webhook.certificates import split_bundle
from reconciler.webhook.manifests import KINDS, Target
from reconciler.webhook.registration import unregister
from reconciler.webhook.rotation import Policy
from shared.errors import ObjectInvalid, ObjectNotFound
from shared.kube import FORMS, HUBS, SECRETS, KubeClient, ResourceType
from shared.settings import KubeSettings, WebhookSettings
from tests.builders import ROOT, example_document, fresh_namespace
from tests.component.tcp_proxy import TcpProxy

SERVICES = ResourceType("v1", "Service", "services")
SERVICE = "webhook"
TIMEOUT_S = 40.0
TYPES = {"LynqHub": HUBS, "LynqForm": FORMS}
_T = TypeVar("_T")


def eventually(look: Callable[[], _T], what: str) -> _T:
    """Ask until `look` answers something true."""
    deadline_s = time.monotonic() + TIMEOUT_S
    while not (found := look()):
        if time.monotonic() > deadline_s:
            pytest.fail(f"{what}: not within {TIMEOUT_S:.0f} s", pytrace=False)
        time.sleep(0.05)
    return found


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@dataclass(frozen=True, slots=True)
class Written:
    """The API server's raw answer to a write."""

    status: int
    document: dict[str, Any]
    warnings: tuple[str, ...]
    """Texts of the Warning headers."""

    @property
    def message(self) -> str:
        """The text of a Status."""
        return str(self.document.get("message", ""))


class RawApi:
    """The API server over plain HTTPS, for what a client library hides."""

    def __init__(self, kubeconfig: Path) -> None:
        document = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))
        cluster = document["clusters"][0]["cluster"]
        self._token = document["users"][0]["user"]["token"]
        self._context = ssl.create_default_context(
            cadata=base64.b64decode(cluster["certificate-authority-data"]).decode()
        )
        self._host = urllib3.util.parse_url(cluster["server"])

    def send(self, method: str, path: str, body: dict[str, Any], content_type: str = "application/json") -> Written:
        """One request on a connection of its own."""
        connection = http.client.HTTPSConnection(
            self._host.host or "", self._host.port, timeout=30.0, context=self._context
        )
        with contextlib.closing(connection):
            headers = {"Authorization": f"Bearer {self._token}", "Content-Type": content_type}
            connection.request(method, path, json.dumps(body), headers)
            answer = connection.getresponse()
            warnings = tuple(header.split('"', 1)[1].rstrip('"') for header in answer.headers.get_all("Warning") or ())
            return Written(answer.status, json.loads(answer.read()), warnings)

    def create(self, document: dict[str, Any], query: str = "") -> Written:
        """POST of a hub or form."""
        kind = TYPES[document["kind"]]
        return self.send("POST", kind.path(document["metadata"]["namespace"]) + query, document)

    def patch(self, document: dict[str, Any], changes: dict[str, Any]) -> Written:
        """Merge patch of a hub or form."""
        kind, metadata = TYPES[document["kind"]], document["metadata"]
        path = kind.path(metadata["namespace"], metadata["name"])
        return self.send("PATCH", path, changes, "application/merge-patch+json")


@dataclass(slots=True)
class World:
    """One namespace, its API clients, and the webhooks and processes that the test has started."""

    endpoints: Endpoints
    client: KubeClient
    raw: RawApi
    namespace: str
    webhooks: list[Webhook] = field(default_factory=list)
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    # -- webhooks ------------------------------------------------------------------------------------------------

    def settings(self, *, by: str = "url", port: int = 0, **others: Any) -> WebhookSettings:
        """Settings of a webhook that is reached by URL or by Service; the Service's name leads to localhost."""
        chosen = port or free_port()
        if by == "url":
            url = others.pop("url", f"https://127.0.0.1:{chosen}")
            return WebhookSettings(chosen, "127.0.0.1", f"{self.namespace}/{SERVICE}", url, **others)
        self.make_service()
        return WebhookSettings(chosen, "127.0.0.1", f"{self.namespace}/{SERVICE}:{chosen}", **others)

    def make_service(self) -> None:
        """A Service that the API server resolves to its own machine."""
        body = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": SERVICE, "namespace": self.namespace},
            "spec": {"type": "ExternalName", "externalName": "localhost"},
        }
        self.client.apply(SERVICES, body, manager="test")

    def run(self, settings: WebhookSettings, policy: Policy | None = None, check_s: float = 0.2) -> Webhook:
        """A webhook in this process, in effect when this returns."""
        made = Webhook(self.client, settings, policy, check_s)
        self.webhooks.append(made)
        made.start()
        self.await_effect()
        return made

    def start(self, settings: WebhookSettings, kubeconfig: Path | None = None) -> tuple[subprocess.Popen[bytes], int]:
        """The process as a user runs it; (process, port of its probes) when it is ready."""
        probes = free_port()
        namespace, name, port = settings.service_place
        environ = {
            "PATH": os.environ["PATH"],
            "KUBECONFIG": str(kubeconfig or self.endpoints.kubeconfig),
            "ROWPLANE_NAMESPACE": self.namespace,
            "ROWPLANE_METRICS_HOST": "127.0.0.1",
            "ROWPLANE_METRICS_PORT": str(probes),
            "ROWPLANE_WEBHOOK_HOST": "127.0.0.1",
            "ROWPLANE_WEBHOOK_PORT": str(settings.port),
            "ROWPLANE_WEBHOOK_SERVICE": f"{namespace}/{name}:{port}",
            "ROWPLANE_WEBHOOK_URL": settings.url,
            "ROWPLANE_WEBHOOK_CERT_DIR": settings.cert_dir,
            "ROWPLANE_WEBHOOK_REGISTER": str(settings.register),
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "reconciler.webhook"], env=environ, cwd=ROOT, stderr=subprocess.PIPE
        )
        self.processes.append(process)
        eventually(lambda: process.poll() is not None or is_ready(probes), "the webhook is ready")
        assert process.poll() is None, process.stderr.read().decode() if process.stderr else ""
        return process, probes

    def end(self, process: subprocess.Popen[bytes], number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """Signal it: (exit code, what it has logged)."""
        process.send_signal(number)
        _, log = process.communicate(timeout=TIMEOUT_S)
        return process.returncode, log.decode()

    def await_effect(self) -> None:
        """Wait until the API server asks the webhook: it takes up each configuration a moment after it is written."""
        bad, bare = self.hub(valueMappings={"uid": "", "activate": "a"}), self.hub()
        bare["spec"]["source"]["syncInterval"] = ""  # the schema alone refuses it
        eventually(lambda: "denied the request" in self.raw.create(bad, "?dryRun=All").message, "the webhook judges")
        eventually(lambda: self.raw.create(bare, "?dryRun=All").status == 201, "the webhook fills in")

    # -- objects -------------------------------------------------------------------------------------------------

    def example(self, kind: str) -> dict[str, Any]:
        """`hub` or `form` of the example, in this namespace."""
        document = example_document(kind)
        document["metadata"]["namespace"] = self.namespace
        return document

    def hub(self, name: str = "", **spec: Any) -> dict[str, Any]:
        """The example's hub under a name of its own."""
        document = self.example("hub")
        document["metadata"]["name"] = name or f"h{secrets.token_hex(4)}"
        document["spec"] |= spec
        return document

    def here(self, document: dict[str, Any]) -> dict[str, Any]:
        """The document, in this namespace."""
        document["metadata"]["namespace"] = self.namespace
        return document

    def create(self, document: dict[str, Any]) -> dict[str, Any]:
        """Create through the client; raises what a client sees."""
        return self.client.create(TYPES[document["kind"]], document)

    # -- what is there -------------------------------------------------------------------------------------------

    @property
    def target(self) -> Target:
        """Of the configurations."""
        return Target(f"rowplane-{self.namespace}", None)

    def configuration(self, stage: Stage) -> dict[str, Any] | None:
        """The live configuration."""
        try:
            return self.client.get(KINDS[stage], "", self.target.name)
        except ObjectNotFound:
            return None

    def bundles(self) -> set[tuple[bytes, ...]]:
        """The authorities of every webhook of both configurations: one element when all agree."""
        found = [self.configuration(stage) or {} for stage in Stage]
        texts = [w["clientConfig"].get("caBundle", "") for c in found for w in c.get("webhooks", ())]
        return {split_bundle(base64.b64decode(text)) for text in texts}

    def secret(self) -> dict[str, bytes]:
        """Data of the Secret; empty without one."""
        try:
            data = self.client.get(SECRETS, self.namespace, f"{SERVICE}-certificate").get("data") or {}
        except ObjectNotFound:
            return {}
        return {key: base64.b64decode(text) for key, text in data.items()}

    def close(self) -> None:
        """End everything, and leave nothing that the API server would ask."""
        for webhook in self.webhooks:
            webhook.stop()
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.communicate(timeout=TIMEOUT_S)
        unregister(self.client, self.target)
        for kind in (FORMS, HUBS):
            for item in self.client.list(kind, self.namespace)[0]:
                with contextlib.suppress(ObjectNotFound, ObjectInvalid):
                    self.client.merge_patch(
                        kind, self.namespace, item["metadata"]["name"], {"metadata": {"finalizers": None}}
                    )


def is_ready(port: int) -> bool:
    """Whether /readyz says yes."""
    return probe(port, "/readyz")[0] == 200


def probe(port: int, path: str) -> tuple[int, str]:
    """(status, text) of a probe; (0, "") while nothing listens."""
    with urllib3.PoolManager(retries=False, timeout=5.0) as pool:
        try:
            answer = pool.request("GET", f"http://127.0.0.1:{port}{path}")
        except urllib3.exceptions.HTTPError:
            return 0, ""
        return answer.status, answer.data.decode()


def served_certificate(port: int) -> bytes:
    """The certificate (DER) that is served now, whoever vouches for it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as sock,
    ):
        return sock.getpeercert(binary_form=True) or b""


def der(pem: bytes) -> bytes:
    """A PEM certificate as DER."""
    return ssl.PEM_cert_to_DER_cert(pem.decode())


class Load:
    """Writers that never pause; what is not taken is kept."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._done = threading.Event()
        self._threads = [threading.Thread(target=self._write) for _ in range(2)]
        self.count = 0
        self.refused: list[str] = []

    def _write(self) -> None:
        document = self._world.hub()
        while not self._done.is_set():
            answer = self._world.raw.create(document, "?dryRun=All")
            self.count += 1
            if answer.status != 201:
                self.refused.append(answer.message)

    def await_more(self, calls: int) -> None:
        """Wait until so many more calls were made."""
        wanted = self.count + calls
        eventually(lambda: self.count >= wanted, "more calls")

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join()


class Switch(TcpProxy):
    """An address of which the target can be changed: what a Service is to its pods."""

    def lead_to(self, port: int) -> None:
        """New connections go to this port."""
        self._target = ("127.0.0.1", port)


def make_world(endpoints: Endpoints) -> Iterator[World]:
    """A fresh world; for fixtures. Its webhooks do not wait for idle clients at their end."""
    client = KubeClient.connect(KubeSettings(kubeconfig=str(endpoints.kubeconfig)))
    with fresh_namespace(client) as namespace, pytest.MonkeyPatch.context() as patch:
        patch.setattr(server, "_LINGER_S", 0.0)
        client.namespace = namespace
        made = World(endpoints, client, RawApi(endpoints.kubeconfig), namespace)
        try:
            yield made
        finally:
            made.close()
    client.close()
