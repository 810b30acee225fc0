"""`python -m tests.component.endless_writer CLIENT SERVERS TOPIC constant|growing`: publishes until it is ended.

Fed by: a test that takes something away from it. Feeds: partition 0 of the topic with 1, 2, 3 …; its floor to stdout.
Never: ends by itself, unless a record is refused for good.
"""

from __future__ import annotations

import sys
import threading

from cdc.adapters.publisher import KafkaChangeLog, open_producer
from cdc.core.records import Record
from shared import logs
from shared.clock import SystemClock
from shared.kafka import connect_admin, topic_exists, topic_limit_bytes
from shared.settings import KafkaSettings
from tests.unit.cdc.fakes import position

_PACE_S = 0.001


def main(client: str, servers: str, topic: str, size: str) -> None:
    """One record a step; a growing one is larger by 10 bytes each time."""
    logs.configure("writer")
    settings = KafkaSettings((servers,), client=client)
    admin = connect_admin(settings)
    log = KafkaChangeLog(open_producer(settings), SystemClock())
    log.set_limit(topic, topic_limit_bytes(admin, topic))
    never = threading.Event()
    watch = (lambda name: topic_exists(admin, name), never, 1.0)
    threading.Thread(target=log.run_watch, args=watch, daemon=True).start()
    number, told = 0, 0
    while not never.wait(_PACE_S):
        number += 1
        value = str(number).encode().ljust(number * 10 if size == "growing" else 100, b" ")
        log.publish([Record(topic, 0, b"key", value, (), f"uid-{number}")], position(number))
        floor = log.floor()
        if floor is not None and floor.offset // 100 > told:
            told = floor.offset // 100
            sys.stdout.write(f"{told}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:5])
