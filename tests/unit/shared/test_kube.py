"""What a client of the API server makes of its configuration."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from kubernetes.client.configuration import Configuration

from shared.errors import ClusterRefused, ObjectInvalid, UsageError
from shared.kube import NODES, KubeClient, ResourceType
from shared.settings import KubeSettings

SECRET = "token-4711"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"clusters: 5",
        b"a: {",
        f'"""text""" {SECRET}'.encode(),
        b"\xc8\xff",
        b"contexts: [1]\ncurrent-context: c",
    ],
)
def test_a_file_that_is_no_kubeconfig_is_told_in_a_sentence_without_what_it_holds(
    tmp_path: Path, content: bytes
) -> None:
    file = tmp_path / "kubeconfig"
    file.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        KubeClient.connect(KubeSettings(str(file)))
    assert str(file) in caught.value.text
    assert SECRET not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be used"):
        KubeClient.connect(KubeSettings(str(tmp_path / "nowhere")))


@pytest.mark.parametrize("name", [".", "..", "a/b", "../lynqhubs/other", "a%2Fb"])
def test_a_name_that_would_be_another_path_is_refused(name: str) -> None:
    """A row whose uid had a slash was tried for ever: the answer, 404, reads like that of an object that has gone."""
    with pytest.raises(ObjectInvalid, match="is no name of an object"):
        NODES.path("shop", name)


def test_a_name_says_nothing_but_a_name() -> None:
    base = "/apis/operator.lynq.sh/v1/namespaces/shop/lynqnodes"
    assert NODES.path("shop", "acme-web.eu", "status") == f"{base}/acme-web.eu/status"
    assert NODES.path("shop", "a?dryRun=All#") == f"{base}/a%3FdryRun%3DAll%23"
    assert NODES.path("shop", "\ud800") == f"{base}/%3F"
    assert (
        ResourceType("rbac.authorization.k8s.io/v1", "ClusterRole", "clusterroles")
        .path(name="system:node")
        .endswith("/clusterroles/system:node")
    )


class Guard(BaseHTTPRequestHandler):
    """Takes one token and refuses others."""

    tokens: ClassVar[list[str]] = []

    def do_GET(self) -> None:  # the base class names it
        self.tokens.append(self.headers["Authorization"])
        status, body = (200, b"{}") if self.tokens[-1] == "Bearer new" else (401, b"{}")
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


def test_credentials_are_asked_for_once_for_many_requests_and_again_when_they_are_refused() -> None:
    """Asking for them took a seventh of the processor time of each request."""
    asked: list[str] = []

    class Renewing(Configuration):
        def auth_settings(self) -> Any:
            asked.append("old" if not asked else "new")
            return {"BearerToken": {"in": "header", "key": "Authorization", "value": f"Bearer {asked[-1]}"}}

    configuration = Renewing()

    with ThreadingHTTPServer(("127.0.0.1", 0), Guard) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        configuration.host = f"http://127.0.0.1:{server.server_port}"
        client = KubeClient(configuration)
        with pytest.raises(ClusterRefused):
            client.get_path("/version")
        for _ in range(5):
            client.get_path("/version")
        client.close()
        server.shutdown()
    assert Guard.tokens == ["Bearer old"] + ["Bearer new"] * 5
    assert asked == ["old", "new"]
