"""A Kafka broker of a test module's own: it may be cut off, stopped, killed and started again, and it has TLS and SASL.

Fed by: the jars of the local stack. Feeds: tests of the Kafka side. Never: touches the stack's own broker.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from deploy.stack import toolchains
from deploy.stack.kafka import LOGGING, answers
from deploy.stack.paths import default_paths
from shared.settings import KafkaSettings
from tests.component.tcp_proxy import TcpProxy
from tests.held_ports import held_ports

USER = "capture"
PASSWORD = "right-and-long"
CLUSTER_ID = "rowplane-component-tes"  # 22 characters, as Kafka's own tool makes them
START_S = 60.0

_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=DIRECT://127.0.0.1:{direct},PROXIED://127.0.0.1:{proxied},SECURE://127.0.0.1:{secure},\
MUTUAL://127.0.0.1:{mutual},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=DIRECT://127.0.0.1:{direct},PROXIED://127.0.0.1:{proxy},SECURE://127.0.0.1:{secure_proxy},\
MUTUAL://127.0.0.1:{mutual}
controller.listener.names=CONTROLLER
inter.broker.listener.name=DIRECT
listener.security.protocol.map=DIRECT:PLAINTEXT,PROXIED:PLAINTEXT,SECURE:SASL_SSL,MUTUAL:SSL,CONTROLLER:PLAINTEXT
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
log.dirs={data}
ssl.keystore.type=PEM
ssl.keystore.location={pem}
ssl.truststore.type=PEM
ssl.truststore.location={ca}
listener.name.mutual.ssl.client.auth=required
listener.name.secure.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.secure.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
user_{user}="{password}";
listener.name.secure.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.secure.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
"""


@dataclass(slots=True)
class Broker:
    """One node, on loopback."""

    directory: Path
    ports: dict[str, int]
    proxy: TcpProxy
    """Before the plain listener."""
    secure_proxy: TcpProxy
    """Before the listener with TLS and SASL."""
    process: subprocess.Popen[bytes] | None = None

    @property
    def direct(self) -> KafkaSettings:
        """Past the proxies, for the tests' own look."""
        return KafkaSettings((f"127.0.0.1:{self.ports['direct']}",))

    def proxied(self, client: str) -> KafkaSettings:
        """Through the proxy."""
        return KafkaSettings((f"127.0.0.1:{self.proxy.port}",), client=client)

    def secure(self, mechanism: str, password_file: Path, client: str = "kafka-python") -> KafkaSettings:
        """TLS and a login, through the other proxy."""
        return KafkaSettings(
            (f"127.0.0.1:{self.secure_proxy.port}",),
            client=client,
            security_protocol="SASL_SSL",
            ca_file=str(self.directory / "ca.pem"),
            sasl_mechanism=mechanism,
            username=USER,
            password_file=str(password_file),
        )

    def mutual(self, certificate: str, client: str) -> KafkaSettings:
        """TLS with a certificate of the client."""
        return KafkaSettings(
            (f"127.0.0.1:{self.ports['mutual']}",),
            client=client,
            security_protocol="SSL",
            ca_file=str(self.directory / "ca.pem"),
            cert_file=str(self.directory / certificate),
            key_file=str(self.directory / certificate),
        )

    # -- life ------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start it and wait until it answers."""
        with (self.directory / "broker.log").open("ab") as output:
            self.process = subprocess.Popen(
                [*self._java("-Xmx320m", "-Xms128m"), "kafka.Kafka", str(self.directory / "properties")],
                stdout=output,
                stderr=output,
                env={**os.environ, "LC_ALL": "C"},
            )
        deadline_s = time.monotonic() + START_S
        while not answers(self.ports["direct"]) or self.process.poll() is not None:
            if self.process.poll() is not None or time.monotonic() > deadline_s:
                log = (self.directory / "broker.log").read_text(encoding="utf-8", errors="replace")
                pytest.fail(f"the test's broker does not start:\n{log[-2000:]}", pytrace=False)
            time.sleep(0.1)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to this broker alone."""
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """kill -9, and wait for its end."""
        self.signal(signal.SIGKILL)
        assert self.process is not None
        self.process.wait(20)

    def format(self) -> None:
        """Write properties, certificates and the storage."""
        write_certificates(self.directory)
        values = {
            "data": self.directory / "data",
            "pem": self.directory / "broker.pem",
            "ca": self.directory / "ca.pem",
            "user": USER,
            "password": PASSWORD,
            "proxy": self.proxy.port,
            "secure_proxy": self.secure_proxy.port,
        }
        (self.directory / "properties").write_text(_PROPERTIES.format(**self.ports, **values), encoding="utf-8")
        (self.directory / "log4j2.properties").write_text(LOGGING, encoding="utf-8")
        scram = [f"SCRAM-SHA-{bits}=[name={USER},password={PASSWORD}]" for bits in (256, 512)]
        arguments = ["-t", CLUSTER_ID, "-c", str(self.directory / "properties"), "-S", scram[0], "-S", scram[1]]
        subprocess.run(
            [*self._java(), "kafka.tools.StorageTool", "format", *arguments], check=True, capture_output=True
        )

    def _java(self, *flags: str) -> list[str]:
        paths = default_paths()
        logging = f"-Dlog4j2.configurationFile={self.directory / 'log4j2.properties'}"
        return [str(toolchains.java(paths)), *flags, logging, "-cp", f"{paths.cache / 'kafka'}/*"]


@contextmanager
def running_broker(directory: Path) -> Iterator[Broker]:
    """A fresh broker in an empty directory; skips where the stack's jars are not."""
    if not (default_paths().cache / "kafka").is_dir():
        pytest.skip("needs the jars of Kafka, which the local stack fetches where it runs as plain processes")
    wanted = {"direct": 25092, "proxied": 25192, "secure": 25292, "mutual": 25392, "controller": 25492}
    with held_ports(wanted) as ports:
        proxies = TcpProxy("127.0.0.1", ports["proxied"]), TcpProxy("127.0.0.1", ports["secure"])
        broker = Broker(directory, ports, *proxies)
        try:
            broker.format()
            broker.start()
            yield broker
        finally:
            if broker.process is not None and broker.process.poll() is None:
                broker.kill()
            for proxy in proxies:
                proxy.close()


# -- certificates ------------------------------------------------------------------------------------------------------


def write_certificates(directory: Path) -> None:
    """ca.pem signs broker.pem and client.pem; other-ca.pem and stranger.pem belong to nobody here."""
    authority, other = _Authority(), _Authority()
    (directory / "ca.pem").write_bytes(authority.pem)
    (directory / "other-ca.pem").write_bytes(other.pem)
    (directory / "broker.pem").write_bytes(authority.sign("broker"))
    (directory / "client.pem").write_bytes(authority.sign("client"))
    (directory / "stranger.pem").write_bytes(other.sign("client"))


class _Authority:
    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "component tests")])
        identifier = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        self._certificate = (
            _builder(self._name, self._name, self._key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(identifier, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        self.pem = self._certificate.public_bytes(serialization.Encoding.PEM)

    def sign(self, name: str) -> bytes:
        """Key, certificate and authority, in one PEM text."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        hosts = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.IPv4Address("127.0.0.1"))])
        signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        certificate = (
            _builder(subject, self._name, key)
            .add_extension(hosts, critical=False)
            .add_extension(signer, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return private + certificate.public_bytes(serialization.Encoding.PEM) + self.pem


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=2))
    )
