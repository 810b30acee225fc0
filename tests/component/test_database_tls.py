"""TLS to a database: what each mode lets in, what is said where it does not, and capture over it."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from cdc.adapters.binlog import MysqlBinlog
from cdc.adapters.mysql import connect, query
from cdc.adapters.server import SqlServer
from cdc.core.identity import Known, decide
from cdc.ports import Login, StreamOrder, Tls
from deploy.stack.endpoints import Endpoints
from shared.errors import SourceRefused, SourceUnreachable
from shared.kube import SECRETS, KubeClient
from tests.component.broker import write_certificates
from tests.component.conftest import CaptureWorld, make_world
from tests.component.database_server import DatabaseServer, running_server

pytestmark = pytest.mark.stack

PASSWORD = "long-and-4711"


class Certificates:
    """PEM texts by the names that `write_certificates` gives their files."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        write_certificates(directory)
        self.directory = directory

    def text(self, name: str) -> str:
        """Everything in the file."""
        return (self.directory / f"{name}.pem").read_text(encoding="ascii")

    def pair(self, name: str) -> tuple[str, str]:
        """Certificate and key."""
        key, certificate, *_ = re.findall(r"-----BEGIN.*?-----END[^\n]*\n", self.text(name), re.DOTALL)
        return certificate, key

    @property
    def flags(self) -> tuple[str, ...]:
        """Of a server that shows the certificate for 127.0.0.1."""
        own = self.directory / "broker.pem"
        return f"--ssl-ca={self.directory / 'ca.pem'}", f"--ssl-cert={own}", f"--ssl-key={own}"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates") / "pem")


@pytest.fixture(scope="module", params=["mysql", "mariadb"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, certificates: Certificates
) -> Iterator[DatabaseServer]:
    with running_server(request.param, tmp_path_factory.mktemp(request.param), *certificates.flags) as running:
        running.sql(
            f"CREATE USER plain@'%' IDENTIFIED BY '{PASSWORD}'",
            f"CREATE USER secure@'%' IDENTIFIED BY '{PASSWORD}' REQUIRE SSL",
            f"CREATE USER known@'%' IDENTIFIED BY '{PASSWORD}' REQUIRE X509",
            *(f"GRANT ALL PRIVILEGES ON *.* TO {user}@'%'" for user in ("plain", "secure", "known")),
        )
        yield running


def login(server: DatabaseServer, tls: Tls | None, user: str = "secure", host: str = "127.0.0.1") -> Login:
    return Login(host, server.database.port, user, PASSWORD, tls)


def cipher(account: Login) -> str:
    """What the server says of the connection's encryption; empty for none."""
    with connect(account) as connection:
        return str(query(connection, "SHOW STATUS LIKE 'Ssl_cipher'")[0][1])


def refusal(account: Login) -> str:
    """Why it does not let this account in."""
    with pytest.raises(SourceRefused) as caught, connect(account):
        pass
    assert caught.value.reason in ("TlsRefused", "DatabaseRefused")
    assert PASSWORD not in str(caught.value)
    return str(caught.value)


def test_each_mode_encrypts_and_verifies_what_it_says(server: DatabaseServer, certificates: Certificates) -> None:
    ca, other = certificates.text("ca"), certificates.text("other-ca")
    assert cipher(login(server, Tls("Required", other)))
    assert cipher(login(server, Tls("VerifyCA", ca), host="localhost"))
    assert cipher(login(server, Tls("VerifyIdentity", ca)))
    assert cipher(login(server, None)), "encrypted where the server offers it"
    assert not cipher(login(server, Tls("Disabled"), "plain"))


def test_a_refusal_says_what_is_wrong_and_what_mends_it(server: DatabaseServer, certificates: Certificates) -> None:
    ca, other = certificates.text("ca"), certificates.text("other-ca")
    stranger = refusal(login(server, Tls("VerifyCA", other)))
    assert "authority that is not trusted here" in stranger
    assert "Let tls.caRef name" in stranger
    assert refusal(login(server, Tls("VerifyIdentity"))) == refusal(login(server, Tls("VerifyCA")))
    mismatch = refusal(login(server, Tls("VerifyIdentity", ca), host="localhost"))
    assert "is not for localhost" in mismatch
    assert "VerifyCA" in mismatch
    assert "may also require TLS" in refusal(login(server, Tls("Disabled")))
    assert "the authorities of tls.caRef cannot be used" in refusal(login(server, Tls("VerifyCA", "no certificate")))


def test_a_client_certificate_is_shown_from_memory(server: DatabaseServer, certificates: Certificates) -> None:
    ca = certificates.text("ca")
    assert "may also require TLS or a certificate" in refusal(login(server, Tls("VerifyIdentity", ca), "known"))
    assert cipher(login(server, Tls("VerifyIdentity", ca, *certificates.pair("client")), "known"))
    certificate, _ = certificates.pair("client")
    _, key = certificates.pair("stranger")
    unfit = refusal(login(server, Tls("VerifyIdentity", ca, certificate, key), "known"))
    assert "the client certificate of tls.certRef cannot be used: key values mismatch" in unfit


def test_a_certificate_that_the_server_does_not_know_is_no_login(
    server: DatabaseServer, certificates: Certificates
) -> None:
    tls = Tls("VerifyIdentity", certificates.text("ca"), *certificates.pair("stranger"))
    with pytest.raises(SourceUnreachable, match=r"trusts the client certificate of tls\.certRef"):
        cipher(login(server, tls, "known"))


@pytest.mark.parametrize(("flavour", "flags"), [("mysql", ("--tls-version=",)), ("mariadb", ())])
def test_a_server_without_tls_is_used_only_where_that_is_allowed(
    flavour: str, flags: tuple[str, ...], tmp_path: Path
) -> None:
    with running_server(flavour, tmp_path, *flags) as server:
        account = Login("127.0.0.1", server.database.port, server.database.user, server.database.password)
        assert "set spec.source.mysql.tls.mode to Disabled" in refusal(replace(account, tls=Tls("Required")))
        assert not cipher(account)


def test_a_server_that_insists_on_tls_is_told_apart(server: DatabaseServer) -> None:
    server.sql("SET GLOBAL require_secure_transport = ON")
    try:
        text = refusal(login(server, Tls("Disabled"), "plain"))
        assert cipher(login(server, None, "plain"))
    finally:
        with connect(login(server, None)) as connection:
            query(connection, "SET GLOBAL require_secure_transport = OFF")
    mends = {"mysql": "Set spec.source.mysql.tls.mode to VerifyIdentity", "mariadb": "an account may also require TLS"}
    assert mends[server.flavour] in text


def test_a_stream_over_tls_can_be_woken_while_it_waits(server: DatabaseServer, certificates: Certificates) -> None:
    account = login(server, Tls("VerifyIdentity", certificates.text("ca")))
    facts = SqlServer().facts(account, "")
    order = StreamOrder(account, decide(Known("", None), facts).position, {}, 2_147_500_000)
    for _ in range(20):
        with MysqlBinlog().open(order) as stream:
            waker = threading.Timer(0.05, stream.wake)
            waker.start()
            with pytest.raises(SourceUnreachable, match="was woken"):
                list(stream)
            waker.join()


# -- capture -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def tls_world(
    server: DatabaseServer, certificates: Certificates, endpoints: Endpoints, cluster: KubeClient
) -> Iterator[CaptureWorld]:
    """A world whose account needs a certificate, with all that is needed in Secrets."""
    there = replace(endpoints, mysql=server.database, mariadb=server.database)
    for world in make_world(there, cluster, server.flavour):
        certificate, key = certificates.pair("client")
        for name, data in (
            ("account", {"password": PASSWORD, "ca.crt": certificates.text("other-ca")}),
            ("client", {"tls.crt": certificate, "tls.key": key}),
        ):
            metadata = {"name": name, "namespace": world.name}
            body = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data}
            cluster.apply(SECRETS, body, manager="test")
        yield world


def _hub(world: CaptureWorld, name: str = "hub", **tls: object) -> None:
    wish = {"caRef": {"name": "account", "key": "ca.crt"}, "certRef": {"name": "client"}, **tls}
    secret = {"name": "account", "key": "password"}
    world.make_hub(name, username="known", passwordRef=secret, tls=wish)


def test_a_hub_is_captured_over_tls_as_soon_as_its_authority_is_known(
    tls_world: CaptureWorld, certificates: Certificates
) -> None:
    world = tls_world
    world.make_table()
    world.fill(["acme"])
    _hub(world)
    process = world.start()
    found = world.wait_reason("TlsRefused")
    assert "authority that is not trusted here" in found["Synced"]["message"]
    assert (found["Ready"]["status"], found["Ready"]["reason"]) == ("False", "DatabaseConnectionFailed")
    ca = {"stringData": {"ca.crt": certificates.text("ca")}}
    world.kube.merge_patch(SECRETS, world.name, "account", ca)
    world.wait_reason("Streaming")
    for color in ("green", "red"):
        world.proxy.cut()
        world.paint(["acme"], color)
        world.wait_rows({"acme": color})
    assert world.sql("SHOW STATUS LIKE 'Ssl_accepts'") != [("Ssl_accepts", "0")]
    world.sql("INSERT INTO DB.nodes VALUES ('large', 1, REPEAT('x', 9), 0)")
    world.wait_rows({"acme": "red", "large": "x" * 9})
    assert world.stop(process) == 0


def test_secrets_that_lack_a_part_are_named(tls_world: CaptureWorld) -> None:
    world = tls_world
    world.make_table()
    _hub(world, "authority", caRef={"name": "account", "key": "ca.pem"})
    _hub(world, "certificate", certRef={"name": "account"})
    world.start()
    lacking = world.wait_reason("SecretMissing", "authority")
    assert f"Secret {world.name}/account has no key ca.pem" in lacking["Synced"]["message"]
    assert "--from-file=ca.pem=" in lacking["Synced"]["message"]
    lacking = world.wait_reason("SecretMissing", "certificate")
    assert f"Secret {world.name}/account has no key tls.crt" in lacking["Synced"]["message"]
    assert "create secret tls" in lacking["Synced"]["message"]
