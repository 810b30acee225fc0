"""Apache Kafka: one KRaft node, broker and controller in one process, out of Maven artefacts.

Fed by: Maven coordinates, the ports. Feeds: `native`. Never: creates topics; auto-creation is off, as in
production.
"""

import hashlib
import socket
import struct
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from deploy.stack import toolchains
from deploy.stack.components import Component
from deploy.stack.errors import StackError
from deploy.stack.parts import Part, remove, run
from deploy.stack.paths import Paths

PORTS = {"kafka": 29092, "kafka-controller": 29093}

VERSION: Final = "4.1.0"
_POM = f"""\
<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>rowplane</groupId>
  <artifactId>kafka-broker</artifactId>
  <version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>{VERSION}</version>
    </dependency>
    <dependency>
      <groupId>org.apache.logging.log4j</groupId>
      <artifactId>log4j-slf4j-impl</artifactId>
      <version>2.24.3</version>
    </dependency>
  </dependencies>
</project>
"""

LOGGING: Final = """\
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d %p %c{1} %m%n
rootLogger.level = WARN
rootLogger.appenderRef.console.ref = console
"""
"""Of a Java process of Kafka's: what is a warning, to the console."""
_LOGGING = f"""\
{LOGGING}logger.kafka.name = kafka.server.KafkaRaftServer
logger.kafka.level = INFO
"""

_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{kafka-controller}
listeners=PLAINTEXT://127.0.0.1:{kafka},CONTROLLER://127.0.0.1:{kafka-controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{kafka}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
offsets.topic.replication.factor=1
offsets.topic.num.partitions=10
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
log.dirs={log_dir}
"""


def parts(paths: Paths) -> list[Part]:
    """Return what has to be fetched: the broker's jars."""

    def build(target: Path) -> None:
        project = target.with_name("kafka-pom")
        project.mkdir(exist_ok=True)
        (project / "pom.xml").write_text(_POM, encoding="utf-8")
        mvn = [str(toolchains.maven()), "-q", "-B", "dependency:copy-dependencies"]
        run(
            [*mvn, f"-DoutputDirectory={target}"],
            subject="fetching Kafka with Maven",
            mend="check that Maven reaches its repository",
            cwd=project,
        )
        remove(project)

    return [Part("kafka", f"fetching Kafka {VERSION}", paths.cache / "kafka", _POM, build)]


def component(paths: Paths, ports: Mapping[str, int]) -> Component:
    """Return the broker."""
    data = paths.data / "kafka"
    properties = paths.run / "kafka.properties"
    logging = paths.run / "kafka-log4j2.properties"
    text = _PROPERTIES.format(**ports, log_dir=data)
    java = str(toolchains.java(paths))
    classpath = ["-cp", f"{paths.cache / 'kafka'}/*"]

    def prepare() -> None:
        properties.write_text(text, encoding="utf-8")
        logging.write_text(_LOGGING, encoding="utf-8")
        if (data / "meta.properties").exists():
            return
        format_storage = ["kafka.tools.StorageTool", "format", "-t", _cluster_id(), "-c", str(properties)]
        run(
            [java, *classpath, f"-Dlog4j2.configurationFile={logging}", *format_storage],
            subject="formatting the storage of Kafka",
            mend="run `make stack-down PURGE=1` and try again",
        )

    flags = ["-Xmx512m", "-Xms256m", f"-Dlog4j2.configurationFile={logging}"]
    return Component(
        name="kafka",
        argv=(java, *flags, *classpath, "kafka.Kafka", str(properties)),
        port=ports["kafka"],
        prepare=prepare,
        answers=lambda: answers(ports["kafka"]),
        recipe=hashlib.sha256((text + _LOGGING + _POM).encode()).hexdigest(),
    )


def answers(port: int) -> bool:
    """Tell whether a broker on 127.0.0.1 knows itself as a live broker.

    Sends a Metadata request, version 1, without topics (Kafka protocol, key 3) and looks whether the answer
    names at least one broker and a controller.
    """
    request = struct.pack(">hhih", 3, 1, 1, -1) + struct.pack(">i", 0)
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2.0) as link:
            link.sendall(struct.pack(">i", len(request)) + request)
            with link.makefile("rb") as stream:
                (length,) = struct.unpack(">i", stream.read(4))
                body = stream.read(length)
        (brokers,) = struct.unpack_from(">i", body, 4)  # after the correlation id
    except (OSError, struct.error):
        return False
    return bool(brokers > 0)


def require(bootstrap_servers: str) -> None:
    """Raise StackError unless one of the host:port pairs accepts connections."""
    for server in bootstrap_servers.split(","):
        host, _, port = server.strip().rpartition(":")
        try:
            with socket.create_connection((host, int(port)), timeout=3.0):
                return
        except (OSError, ValueError):
            continue
    raise StackError(f"Kafka does not answer at {bootstrap_servers}; check ROWPLANE_STACK_KAFKA_BOOTSTRAP_SERVERS")


def _cluster_id() -> str:
    """Return a new cluster id: 22 characters, as Kafka's own tool makes them (base64 of a UUID)."""
    return urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
