"""TLS and SASL to a real listener: records go through it with every client, and what is refused is told in words."""

from __future__ import annotations

import gc
import secrets
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import confluent_kafka
import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._scram import ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion
from confluent_kafka.cimpl import NewTopic

from cdc.adapters import publisher_librdkafka
from cdc.adapters.publisher import Producer, open_producer
from cdc.adapters.publisher_librdkafka import client_settings
from cdc.core.records import Record
from shared import kafka
from shared.errors import LogError, LogRefused, LogUnreachable
from shared.kafka import connect_admin, connect_consumer, ensure_topic, read_all
from shared.settings import KafkaSettings
from tests.component.broker import PASSWORD, START_S, USER, Broker, running_broker
from tests.product import eventually

pytestmark = [
    pytest.mark.stack,
    pytest.mark.filterwarnings("ignore:unclosed <s:ResourceWarning"),  # kafka-python, at each failed handshake
]

CLIENTS = ("kafka-python", "librdkafka")
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
PATIENCE_S = 40.0


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker of this module's own."""
    with running_broker(tmp_path_factory.mktemp("kafka")) as found:
        log_in(found)
        yield found
        gc.collect()  # while the filter above holds


def log_in(broker: Broker) -> None:
    """Once in each way: the first handshake of a broker takes longer than a client waits that is refused."""
    path = broker.directory / "password"
    path.write_text(PASSWORD, encoding="utf-8")
    for settings in (*(broker.secure(name, path) for name in MECHANISMS), broker.mutual("client.pem", CLIENTS[0])):
        eventually(lambda s=settings: lets_in(s), "a login", START_S)  # type: ignore[misc]  # a lambda's parameter has no type


def lets_in(settings: KafkaSettings) -> bool:
    """Whether the broker takes a connection, in the time that a client has for it."""
    try:
        connect_admin(settings).close()
    except LogError:
        return False
    return True


@pytest.fixture
def password(tmp_path: Path) -> Path:
    """A file with the right password."""
    path = tmp_path / "password"
    path.write_text(f"{PASSWORD}\n", encoding="utf-8")
    return path


def send(settings: KafkaSettings, topic: str) -> list[LogError | None]:
    """Produce three records through the settings' client; what it told about them."""
    told: list[LogError | None] = []
    producer = open_producer(settings)
    for number in range(3):
        record = Record(topic, 0, b"key", str(number).encode(), (), "uid")
        producer.send([record], lambda _stored, error: told.append(error))
    producer.close(PATIENCE_S)
    return told


def values(settings: KafkaSettings, topic: str) -> list[bytes]:
    """The topic's values, read through the settings' listener."""
    consumer = connect_consumer(settings)
    try:
        return [record.value for record in read_all(consumer, topic, (0,))]
    finally:
        consumer.close()


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("client", CLIENTS)
def test_topics_and_records_go_through_tls_and_login(
    broker: Broker, password: Path, mechanism: str, client: str
) -> None:
    settings = broker.secure(mechanism, password, client)
    topic = f"t.{secrets.token_hex(4)}"
    admin = connect_admin(settings)
    assert ensure_topic(admin, topic, partitions=1, replication_factor=1, configs={}) == 1
    assert send(settings, topic) == [None, None, None]
    assert values(settings, topic) == [b"0", b"1", b"2"]
    admin.delete_topics([topic])
    admin.close()


def test_the_other_library_reads_and_administers_with_the_same_settings(broker: Broker, password: Path) -> None:
    common = client_settings(broker.secure("SCRAM-SHA-256", password))
    topic = f"t.{secrets.token_hex(4)}"
    admin = AdminClient(common)
    (created,) = admin.create_topics([NewTopic(topic, 1, 1)]).values()
    created.result(PATIENCE_S)
    assert send(broker.secure("SCRAM-SHA-256", password, client="librdkafka"), topic) == [None, None, None]
    consumer = confluent_kafka.Consumer({**common, "group.id": topic, "auto.offset.reset": "earliest"})
    consumer.assign([confluent_kafka.TopicPartition(topic, 0, 0)])
    assert [message.value() for message in consumer.consume(3, PATIENCE_S)] == [b"0", b"1", b"2"]
    consumer.close()


@pytest.mark.parametrize("client", CLIENTS)
def test_a_certificate_is_the_login_where_the_listener_asks_for_one(broker: Broker, client: str) -> None:
    topic = f"t.{secrets.token_hex(4)}"
    settings = broker.mutual("client.pem", client)
    admin = connect_admin(settings)
    ensure_topic(admin, topic, partitions=1, replication_factor=1, configs={})
    assert send(settings, topic) == [None, None, None]
    assert values(settings, topic) == [b"0", b"1", b"2"]
    admin.close()


# -- refused -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused clients try to connect for this long before they look for the reason."""
    monkeypatch.setattr(kafka, "_BOOTSTRAP_MS", 2_000)
    monkeypatch.setattr(publisher_librdkafka, "_CONNECT_S", 2.0)


def past_the_proxy(broker: Broker, settings: KafkaSettings) -> KafkaSettings:
    """The listener itself: the proxy may drop the last words of a broker that hangs up."""
    return replace(settings, bootstrap_servers=(f"127.0.0.1:{broker.ports['secure']}",))


def open_all(settings: KafkaSettings) -> Iterator[LogError]:
    """What each kind of client says instead of connecting."""
    for connect in (open_producer, connect_admin, connect_consumer):
        with pytest.raises(LogError) as caught:
            connect(settings)
        yield caught.value


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("client", CLIENTS)
def test_a_wrong_password_is_told(broker: Broker, tmp_path: Path, client: str, mechanism: str) -> None:
    path = tmp_path / "password"
    path.write_text("squeamish-ossifrage", encoding="utf-8")
    for error in open_all(past_the_proxy(broker, broker.secure(mechanism, path, client))):
        assert isinstance(error, LogRefused)
        assert error.reason == "KafkaLoginRefused"
        assert f"refused the login of {USER} by {mechanism}: " in error.text
        assert "ROWPLANE_KAFKA_PASSWORD_FILE" in error.mend
        assert "squeamish" not in str(error)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("client", CLIENTS)
def test_a_broker_whose_authority_is_not_ours_is_told(broker: Broker, password: Path, client: str) -> None:
    settings = replace(broker.secure("PLAIN", password, client), ca_file=str(broker.directory / "other-ca.pem"))
    for error in open_all(past_the_proxy(broker, settings)):
        assert isinstance(error, LogRefused)
        assert error.reason == "KafkaNotTrusted"
        assert "certificate verify failed" in error.text
        assert "ROWPLANE_KAFKA_CA_FILE" in error.mend


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("client", CLIENTS)
def test_a_certificate_that_the_broker_does_not_know_is_told(broker: Broker, client: str) -> None:
    for error in open_all(broker.mutual("stranger.pem", client)):
        assert "ROWPLANE_KAFKA_SECURITY_PROTOCOL" in error.mend


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("client", CLIENTS)
def test_a_listener_of_another_protocol_is_told(broker: Broker, client: str) -> None:
    settings = KafkaSettings((f"127.0.0.1:{broker.ports['secure']}",), client=client)
    for error in open_all(settings):
        assert isinstance(error, LogUnreachable)
        assert "ROWPLANE_KAFKA_SECURITY_PROTOCOL" in error.mend


# -- passwords that change ---------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Sending:
    """A producer behind a login, whose connections the test may cut."""

    broker: Broker
    topic: str
    producer: Producer
    told: list[LogError | None] = field(default_factory=list)
    unreachable: list[LogUnreachable] = field(default_factory=list)
    """Calls that handed nothing over."""
    answered: threading.Event = field(default_factory=threading.Event)

    def send(self) -> None:
        """Cut every connection, then hand a record over, as often as the port asks for it; its answer is noted."""
        self.broker.secure_proxy.cut()
        threading.Thread(target=self._hand_over, daemon=True).start()

    def _hand_over(self) -> None:
        """kafka-python drops a refusal that comes with the end of the connection, and knows no topic then."""
        record = Record(self.topic, 0, b"key", b"0", (), "uid")
        taken = 0
        while not taken:
            try:
                taken = self.producer.send([record], self._on_done)
            except LogUnreachable as error:
                self.unreachable.append(error)

    def _on_done(self, _stored: int, error: LogError | None) -> None:
        self.told.append(error)
        self.answered.set()


@pytest.fixture(params=CLIENTS)
def sending(request: pytest.FixtureRequest, broker: Broker, password: Path) -> Iterator[Sending]:
    """A producer of each client, logged in by SCRAM-SHA-256."""
    topic = f"t.{secrets.token_hex(4)}"
    admin = connect_admin(broker.direct)
    ensure_topic(admin, topic, partitions=1, replication_factor=1, configs={})
    producer = open_producer(broker.secure("SCRAM-SHA-256", password, request.param))
    yield Sending(broker, topic, producer)
    producer.close(1)
    admin.close()


def set_password(broker: Broker, text: str) -> None:
    """Give the user another password for SCRAM-SHA-256."""
    admin = AdminClient(client_settings(broker.direct))
    info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, 4096)
    (done,) = admin.alter_user_scram_credentials([UserScramCredentialUpsertion(USER, info, text.encode())]).values()
    done.result(PATIENCE_S)


def test_a_new_password_is_read_at_the_next_login(sending: Sending, password: Path) -> None:
    set_password(sending.broker, "another one")
    try:
        password.write_text("another one", encoding="utf-8")
        sending.send()
        assert sending.answered.wait(PATIENCE_S)
        assert sending.told == [None]
        assert values(sending.broker.direct, sending.topic) == [b"0"]
    finally:
        set_password(sending.broker, PASSWORD)


def test_a_password_that_is_wrong_for_a_while_loses_nothing(sending: Sending, password: Path) -> None:
    """Either the record waits for the right one, or it is refused, which ends the process before the next record."""
    password.write_text("wrong for a while", encoding="utf-8")
    sending.send()
    sending.answered.wait(2.0)
    password.write_text(PASSWORD, encoding="utf-8")
    assert sending.answered.wait(PATIENCE_S)
    (answer,) = sending.told
    if answer is None:
        assert values(sending.broker.direct, sending.topic) == [b"0"]
    else:
        assert isinstance(answer, LogRefused)
        assert "ROWPLANE_KAFKA_PASSWORD_FILE" in answer.mend
        assert values(sending.broker.direct, sending.topic) == []
