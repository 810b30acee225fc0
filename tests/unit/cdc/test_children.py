"""Metrics of children are merged into one page, each series with its server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest, start_http_server

from cdc.children import MergedMetrics


@dataclass(frozen=True, slots=True)
class FakeChild:
    """A child's server and port."""

    server: str
    port: int


@pytest.fixture
def pages() -> Iterator[list[int]]:
    """Two metric pages; their ports."""
    servers = []
    for rows in (3, 4):
        registry = CollectorRegistry()
        Counter("rowplane_capture_rows_total", "Rows", ["table"], registry=registry).labels("t").inc(rows)
        Gauge("process_something", "Not ours", registry=registry).set(1)
        servers.append(start_http_server(0, addr="127.0.0.1", registry=registry))
    yield [server.server_port for server, _ in servers]
    for server, thread in servers:
        server.shutdown()
        server.server_close()
        thread.join()


def test_series_of_all_children_are_on_one_page(pages: list[int]) -> None:
    merged = MergedMetrics()
    children = [
        FakeChild("a:1", pages[0]),
        FakeChild("b:2", pages[1]),
        FakeChild("starting:3", 0),
        FakeChild("dead:4", 1),
    ]
    merged.show(children)  # type: ignore[arg-type]  # two fields are all that is asked for
    registry = CollectorRegistry()
    registry.register(merged)
    page = generate_latest(registry).decode()
    assert 'rowplane_capture_rows_total{server="a:1",table="t"} 3.0' in page
    assert 'rowplane_capture_rows_total{server="b:2",table="t"} 4.0' in page
    assert page.count("# TYPE rowplane_capture_rows_total counter") == 1
    assert "process_something" not in page
