"""The cluster's credentials: made once, trusted by a strict TLS client, refused when they are no kubeconfig."""

from __future__ import annotations

import socket
import ssl
import stat
import threading
from pathlib import Path

import pytest

from deploy.stack import certificates
from deploy.stack.cluster import Cluster
from deploy.stack.errors import StackError


def test_certificates_are_made_once_and_private(tmp_path: Path) -> None:
    certificates.ensure(tmp_path)
    names = {"ca.crt", "apiserver.crt", "apiserver.key", "sa.key", "sa.pub"}
    first = {name: (tmp_path / name).read_bytes() for name in names}
    certificates.ensure(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == first
    assert {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in names} == {0o600}


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_a_strict_client_trusts_the_server_certificate(tmp_path: Path, name: str) -> None:
    certificates.ensure(tmp_path)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "apiserver.crt", tmp_path / "apiserver.key")
    client = ssl.create_default_context(cafile=str(tmp_path / "ca.crt"))
    client.verify_flags |= ssl.VERIFY_X509_STRICT  # the default from Python 3.13 on
    near, far = socket.socketpair()

    def serve() -> None:
        with server.wrap_socket(far, server_side=True) as link:
            link.sendall(b"hello")

    thread = threading.Thread(target=serve)
    thread.start()
    with client.wrap_socket(near, server_hostname=name) as link:
        assert link.recv(5) == b"hello"
    thread.join()


def test_a_missing_kubeconfig_is_named(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"kubeconfig .*absent cannot be read"):
        Cluster(tmp_path / "absent")


@pytest.mark.parametrize("text", ["", "[]", "current-context: there", "current-context: [", "clusters: []"])
def test_a_file_that_is_no_kubeconfig_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "kubeconfig"
    file.write_text(text)
    with pytest.raises(StackError, match="no kubeconfig"):
        Cluster(file)


def test_a_cluster_that_does_not_answer_is_reported(tmp_path: Path) -> None:
    file = tmp_path / "kubeconfig"
    file.write_text(
        "{clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}], users: [{name: u, user: {token: t}}],"
        " contexts: [{name: x, context: {cluster: c, user: u}}], current-context: x}"
    )
    assert Cluster(file).get("/readyz")[0] == 0
    with pytest.raises(StackError, match="ROWPLANE_STACK_KUBECONFIG"):
        Cluster(file).require("ROWPLANE_STACK_KUBECONFIG")
