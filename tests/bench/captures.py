"""Captures that are measured beside each other: ours with either client, Debezium as it comes and tuned.

All read the same table of one MySQL server, and each writes a topic of its own, of as many partitions, on one broker.
Fed by: a world of the stack, jars out of Maven. Feeds: capture.py. Never: runs two of them at once.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from deploy.stack.endpoints import Endpoints
from deploy.stack.errors import StackError
from shared.kube import KubeClient
from shared.model.names import TABLE_PARTITIONS, table_topic
from tests.bench.frame import Part
from tests.bench.produce import CLIENTS
from tests.component.conftest import ROOT, CaptureWorld, make_world
from tests.component.connect import connect_worker, jars, private_mysql

__all__ = ["COLUMNS", "System", "systems", "world"]

COLUMNS: Final = ("active", "active_color", "blue_version", "deployment_status", "domain", "green_version", "node_id")
"""Published ones."""
_TABLE: Final = (
    "node_id VARCHAR(255) PRIMARY KEY, active TINYINT(1) NOT NULL DEFAULT 1, domain VARCHAR(255) NOT NULL,"
    " active_color VARCHAR(10) NOT NULL DEFAULT 'blue', blue_version VARCHAR(50) NOT NULL DEFAULT 'v1',"
    " green_version VARCHAR(50) NOT NULL DEFAULT 'v1', deployment_status VARCHAR(20) NOT NULL DEFAULT 'stable',"
    " last_deployment_at TIMESTAMP NULL"
)
_EXTRAS: Final = {
    "activeColor": "active_color",
    "blueVersion": "blue_version",
    "greenVersion": "green_version",
    "deploymentStatus": "deployment_status",
    "domain": "domain",
}
LOGS: Final = ROOT / "build" / "bench-logs"
_HEAP: Final = "512m"
_FLUSH_S: Final = 2.0
_CHUNK: Final = 1000
_TUNED: Final = {
    "poll__interval__ms": 1,
    "max__batch__size": 8192,
    "max__queue__size": 32768,
    "producer__override__linger__ms": 0,
}
"""The best of several settings, for latency as for throughput."""


@dataclass(frozen=True, slots=True)
class System:
    """One capture."""

    name: str
    """As in keys."""
    topic: str
    is_ours: bool
    running: Callable[[], AbstractContextManager[int]]
    """Start it; yields its process id as soon as the process is there, and ends it so that it can go on later."""


@contextmanager
def world(endpoints: Endpoints, cluster: KubeClient, directory: Path, rows: int) -> Iterator[CaptureWorld]:
    """A MySQL server of its own with the table and so many rows, and a hub of it. Skips where that cannot be had."""
    with (
        private_mysql(directory) as database,
        contextmanager(make_world)(endpoints, cluster, "mysql", server=database) as found,
    ):
        found.make_table(columns=_TABLE)
        connection = found.connect()
        with connection.cursor() as cursor:
            statement = f"INSERT INTO {found.name}.nodes (node_id, domain) VALUES (%s, %s)"  # noqa: S608  # a name of our own
            for start in range(0, rows, _CHUNK):
                names = [f"n{at:06d}" for at in range(start, min(rows, start + _CHUNK))]
                cursor.executemany(statement, [(name, f"{name}.example.com") for name in names])
        connection.close()
        found.make_hub(host=database.host, port=database.port, extras=_EXTRAS)
        yield found


def systems(found: CaptureWorld, directory: Path, part: Part, *, quick: bool) -> list[System]:
    """All that can be had here; in a quick run Debezium only as it is tuned."""
    known = [_ours(found, client) for client in CLIENTS]
    try:
        jars()
    except StackError as error:
        part.skip("debezium", str(error))
        return known
    variants: dict[str, dict[str, object]] = (
        {"tuned": dict(_TUNED)} if quick else {"default": {}, "tuned": dict(_TUNED)}
    )
    for variant, options in variants.items():
        place = directory / variant
        place.mkdir()
        known.append(_debezium(found, place, variant, options))
    return known


def _ours(found: CaptureWorld, client: str) -> System:
    prefix = f"{found.name}.{client}"
    server = f"{found.server.host}:{found.server.port}"

    @contextmanager
    def running() -> Iterator[int]:
        command = (sys.executable, "-m", "cdc", "--server", server)
        LOGS.mkdir(parents=True, exist_ok=True)
        log = LOGS / f"capture-{client}.log"
        process = found.start(*command, log=log, ROWPLANE_TOPIC_PREFIX=prefix, ROWPLANE_KAFKA_CLIENT=client)
        try:
            yield process.pid
        finally:
            found.stop(process)

    return System(f"rowplane.{client}", table_topic(prefix, server, found.name, "nodes"), True, running)


def _debezium(found: CaptureWorld, directory: Path, variant: str, options: dict[str, object]) -> System:
    prefix = f"{found.name}.debezium-{variant}"
    start = partial(_running_debezium, found, directory, {**options, "topic__prefix": prefix})
    return System(f"debezium.{variant}", f"{prefix}.{found.name}.nodes", False, start)


@contextmanager
def _running_debezium(found: CaptureWorld, directory: Path, options: dict[str, object]) -> Iterator[int]:
    with connect_worker(directory, found.endpoints.kafka_bootstrap_servers, heap=_HEAP) as worker:
        worker.add(
            found.name,
            found.server,
            "mysql",
            snapshot__mode="no_data",
            topic__creation__default__partitions=TABLE_PARTITIONS,
            **options,
        )
        try:
            yield worker.process.pid
        finally:
            worker.remove(found.name)
            time.sleep(_FLUSH_S)  # it stores its offsets each second
