"""Who sees a change pass: a reader of the raw binlog and a consumer of topics, each a process of its own.

Changes carry a number of ten digits, of which the first five are this run's. An observer writes the monotonic time at
which it first saw a number into memory that both processes share, and nothing else: it wakes nobody.
Fed by: MySQL, Kafka. Feeds: switch.py, polling.py. Never: decodes what it sees.
"""

from __future__ import annotations

import itertools
import multiprocessing
import random
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any, Final

from confluent_kafka import Consumer, TopicPartition

from cdc.adapters.publisher_librdkafka import client_settings
from cdc.ports import Login
from deploy.stack.endpoints import Database
from shared.model.names import TABLE_PARTITIONS
from shared.settings import KafkaSettings
from tests.bench.decode import packet_reader

__all__ = ["Numbers", "Times", "binlog_observer", "number_in", "pattern_of", "topic_observer"]

_MOST: Final = 100_000
_READY_S: Final = 30.0
_PATIENCE_S: Final = 60.0


class Numbers:
    """Numbers of changes, each given out once; as text they are found in whatever carries them."""

    def __init__(self) -> None:
        self.run = random.randrange(10_000, 100_000)
        self._next = itertools.count(1).__next__

    def take(self) -> int:
        """The next one, for any thread."""
        return self.run * _MOST + self._next()


class Times:
    """When an observer first saw each number."""

    def __init__(self, shared: Any) -> None:
        self._shared = shared

    def wait(self, number: int) -> float:
        """Monotonic seconds. Raises TimeoutError when it does not come."""
        end_s = time.monotonic() + _PATIENCE_S
        while not (at_s := float(self._shared[number % _MOST])):
            if time.monotonic() > end_s:
                raise TimeoutError(f"change {number} was not seen within {_PATIENCE_S:.0f} s")
            time.sleep(0.002)
        return at_s


@contextmanager
def binlog_observer(server: Database, place: tuple[str, int], numbers: Numbers) -> Iterator[Times]:
    """Reads the packets of the binlog from there on: (file, offset)."""
    login = Login(server.host, server.port, server.user, server.password)
    with _observing(_watch_binlog, (login, place, numbers.run)) as times:
        yield times


@contextmanager
def topic_observer(kafka: KafkaSettings, topics: Sequence[str], numbers: Numbers) -> Iterator[Times]:
    """Reads all partitions of these topics from their ends on."""
    with _observing(_watch_topics, (kafka, tuple(topics), numbers.run)) as times:
        yield times


@contextmanager
def _observing(work: Callable[..., None], arguments: tuple[Any, ...]) -> Iterator[Times]:
    context = multiprocessing.get_context("spawn")
    shared, ready = context.RawArray("d", _MOST), context.Event()
    process = context.Process(target=work, args=(*arguments, shared, ready), daemon=True)
    process.start()
    try:
        if not ready.wait(_READY_S):
            raise TimeoutError(f"an observer is not ready after {_READY_S:.0f} s")
        yield Times(shared)
    finally:
        process.kill()
        process.join()


def number_in(pattern: re.Pattern[bytes], data: bytes) -> int | None:
    """The last number is the row as it is now; the one before it is the row as it was."""
    found = pattern.findall(data)
    return int(found[-1]) if found else None


def _note(shared: Any, pattern: re.Pattern[bytes], data: bytes, now_s: float) -> None:
    number = number_in(pattern, data)
    if number is not None and not shared[number]:
        shared[number] = now_s


def pattern_of(run: int, *, is_text: bool) -> re.Pattern[bytes]:
    """Numbers of a run; in text no digits of a longer number, since a time in nanoseconds may hold the same.

    In the binlog what stands beside a number is a length or a checksum, and may look like a digit.
    """
    return re.compile(rb"(?<!\d)%d(\d{5})(?!\d)" % run if is_text else rb"%d(\d{5})" % run)


def _watch_binlog(login: Login, place: tuple[str, int], run: int, shared: Any, ready: Any) -> None:
    pattern = pattern_of(run, is_text=False)
    with closing(packet_reader(login, place, random.randrange(2**31, 2**32))) as reader:
        connection: Any = reader._stream_connection
        ready.set()
        while True:
            data = connection._read_packet()._data
            _note(shared, pattern, data, time.monotonic())


def _watch_topics(kafka: KafkaSettings, topics: tuple[str, ...], run: int, shared: Any, ready: Any) -> None:
    pattern = pattern_of(run, is_text=True)
    options = {"group.id": f"bench-{run}", "enable.auto.commit": False, "fetch.min.bytes": 1, "fetch.wait.max.ms": 100}
    consumer = Consumer(client_settings(kafka) | options)
    places = [TopicPartition(topic, number) for topic in topics for number in range(TABLE_PARTITIONS)]
    consumer.assign([TopicPartition(p.topic, p.partition, consumer.get_watermark_offsets(p)[1]) for p in places])
    consumer.poll(0.5)
    ready.set()
    while True:
        message = consumer.poll(1.0)
        if message is not None and message.error() is None:
            _note(shared, pattern, message.value() or b"", time.monotonic())
