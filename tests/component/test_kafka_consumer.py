"""The consumer's client on the real broker."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from typing import Any

import pytest
from kafka import TopicPartition  # type: ignore[import-untyped]  # ships no types

from deploy.stack.endpoints import Endpoints
from shared.kafka import connect_admin, connect_consumer, connect_producer, ensure_topic
from shared.settings import KafkaSettings
from tests.product import eventually

pytestmark = pytest.mark.stack

_FETCH_S = 20.0
"""How long a broker may hold a fetch that finds nothing."""


@pytest.fixture
def settings(endpoints: Endpoints) -> KafkaSettings:
    return KafkaSettings(tuple(endpoints.kafka_bootstrap_servers.split(",")))


@pytest.fixture
def topic(settings: KafkaSettings) -> Iterator[str]:
    """Two partitions: while one has records the other is fetched alone."""
    name = f"test-{secrets.token_hex(4)}"
    admin = connect_admin(settings)
    ensure_topic(admin, name, partitions=2, replication_factor=1, configs={})
    yield name
    admin.delete_topics([name])
    admin.close()


def test_a_record_that_comes_between_two_fetches_is_not_left_lying(settings: KafkaSettings, topic: str) -> None:
    """Some two records in a thousand waited for the next one, or a heartbeat, when nothing else was to be done."""
    consumer = connect_consumer(settings, fetch_max_wait_ms=int(1000 * _FETCH_S))
    producer = connect_producer(settings)
    try:
        consumer.assign([TopicPartition(topic, number) for number in range(2)])
        consumer.seek_to_beginning()
        fetcher = consumer._fetcher
        producer.send(topic, b"early", partition=0)  # answers to the fetches after it name only partitions with records
        eventually(lambda: consumer.poll(timeout_ms=100), "the first record")
        eventually(lambda: not consumer.poll(timeout_ms=100) and fetcher.in_flight_fetches(), "a fetch is under way")
        drain = fetcher.fetched_records

        def drain_and_be_late(*arguments: Any, **options: Any) -> Any:
            found = drain(*arguments, **options)
            fetcher.fetched_records = drain
            producer.send(topic, b"late", partition=0)
            eventually(lambda: fetcher._completed_fetches, "the record is there")
            return found

        fetcher.fetched_records = drain_and_be_late
        began_s = time.monotonic()
        (records,) = consumer.poll(timeout_ms=int(1000 * _FETCH_S)).values()
        assert [record.value for record in records] == [b"late"]
        assert time.monotonic() - began_s < _FETCH_S / 2
    finally:
        consumer.close()
        producer.close()
