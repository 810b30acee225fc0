"""The reflector against a real API server: order, gaps healed, no silent death."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from deploy.stack.endpoints import Endpoints
from shared.errors import WatchExpired
from shared.kube import KubeClient, KubeWatch, ResourceType
from shared.kube_watch import EventType, Reflector
from shared.settings import KubeSettings
from tests.builders import CONFIG_MAPS, fresh_namespace
from tests.component.tcp_proxy import TcpProxy

pytestmark = pytest.mark.stack

PATIENCE_S = 20.0
SILENCE_S = 3.0
"""A watch without a byte for so long counts as dead here."""
Event = tuple[EventType, dict[str, Any]]


class Recorder:
    """What a reflector told, in order."""

    def __init__(self) -> None:
        self._told: queue.Queue[Event] = queue.Queue()

    def __call__(self, event: EventType, item: dict[str, Any]) -> None:
        self._told.put((event, item))

    def next(self) -> Event:
        return self._told.get(timeout=PATIENCE_S)

    def take(self, count: int) -> list[tuple[str, str]]:
        """The next events as (event, name)."""
        return [(event.value, item["metadata"]["name"]) for event, item in (self.next() for _ in range(count))]


class Board:
    """ConfigMaps of one namespace, changed from outside."""

    def __init__(self, client: KubeClient, namespace: str) -> None:
        self.client = client
        self.namespace = namespace
        self.selector = f"test={namespace}"

    def put(self, name: str, value: str = "v", *, label: str = "") -> dict[str, Any]:
        labels = {"test": label or self.namespace}
        metadata = {"name": name, "namespace": self.namespace, "labels": labels}
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"k": value}}
        return self.client.apply(CONFIG_MAPS, body, manager="test")

    def delete(self, name: str) -> None:
        self.client.delete(CONFIG_MAPS, self.namespace, name)


@pytest.fixture
def board(client: KubeClient) -> Iterator[Board]:
    with fresh_namespace(client) as name:
        yield Board(client, name)


@pytest.fixture
def reflect(board: Board) -> Iterator[Callable[[KubeClient], Recorder]]:
    """Start a reflector over the board's ConfigMaps; it is stopped at the end."""
    started: list[Reflector] = []

    def start(client: KubeClient) -> Recorder:
        recorder = Recorder()
        reflector = Reflector(client, CONFIG_MAPS, recorder, label_selector=board.selector)
        reflector.silence_s = SILENCE_S
        started.append(reflector)
        reflector.start()
        assert reflector.synced.wait(PATIENCE_S)
        return recorder

    yield start
    for reflector in started:
        reflector.stop()


@pytest.fixture
def line(client: KubeClient) -> Iterator[TcpProxy]:
    """A connection to the API server that can be cut."""
    server = urlsplit(client.server)
    proxy = TcpProxy(server.hostname or "", server.port or 443)
    yield proxy
    proxy.close()


@pytest.fixture
def wired(endpoints: Endpoints, line: TcpProxy, tmp_path: Path) -> Iterator[KubeClient]:
    """A client that reaches the API server over `line`."""
    document = yaml.safe_load(endpoints.kubeconfig.read_text(encoding="utf-8"))
    document["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{line.port}"
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    made = KubeClient.connect(KubeSettings(kubeconfig=str(path)))
    yield made
    made.close()


Reflect = Callable[[KubeClient], Recorder]


def test_what_is_there_is_listed_and_what_happens_is_told_in_order(
    client: KubeClient, board: Board, reflect: Reflect
) -> None:
    board.put("before")
    told = reflect(client)
    assert told.take(1) == [("LISTED", "before")]
    for value in ("1", "2", "3"):
        board.put("a", value)
    board.delete("before")
    board.put("b")
    assert told.take(5) == [("ADDED", "a"), ("MODIFIED", "a"), ("MODIFIED", "a"), ("DELETED", "before"), ("ADDED", "b")]


def test_events_carry_the_whole_object_with_its_kind(client: KubeClient, board: Board, reflect: Reflect) -> None:
    listed = board.put("before", "old")
    told = reflect(client)
    added = board.put("a", "new")
    for event, written in ((told.next(), listed), (told.next(), added)):
        assert event[1]["data"] == written["data"]
        assert (event[1]["apiVersion"], event[1]["kind"]) == ("v1", "ConfigMap")
        assert event[1]["metadata"]["resourceVersion"] == written["metadata"]["resourceVersion"]


def test_an_object_that_leaves_the_selector_is_deleted_for_the_watch(
    client: KubeClient, board: Board, reflect: Reflect
) -> None:
    board.put("a")
    told = reflect(client)
    board.put("a", label="other")
    board.put("a", "back")
    assert told.take(3) == [("LISTED", "a"), ("DELETED", "a"), ("ADDED", "a")]


def test_a_broken_connection_goes_on_where_it_was(
    wired: KubeClient, board: Board, line: TcpProxy, reflect: Reflect
) -> None:
    board.put("kept")
    board.put("gone")
    told = reflect(wired)
    assert told.take(2) == [("LISTED", "gone"), ("LISTED", "kept")]
    line.cut(refuse=True)
    board.delete("gone")
    board.put("new")
    line.restore()
    assert told.take(2) == [("DELETED", "gone"), ("ADDED", "new")], "nothing is listed again"


def test_a_connection_that_is_dead_without_a_word_is_noticed(
    wired: KubeClient, board: Board, line: TcpProxy, reflect: Reflect
) -> None:
    """A peer that is gone closes nothing: only the silence says it."""
    told = reflect(wired)
    board.put("a")
    assert told.take(1) == [("ADDED", "a")]
    line.stall()
    board.put("b")
    board.delete("a")
    assert told.take(2) == [("ADDED", "b"), ("DELETED", "a")]


def test_a_cut_that_nobody_notices_costs_no_event(
    wired: KubeClient, board: Board, line: TcpProxy, reflect: Reflect
) -> None:
    told = reflect(wired)
    for number in range(5):
        board.put(f"m{number}")
        line.cut()
    board.put("z")  # the last one in a list, too
    seen = set()
    while "z" not in seen:
        seen.add(told.next()[1]["metadata"]["name"])
    assert seen == {*(f"m{number}" for number in range(5)), "z"}


class OutdatedClient(KubeClient):
    """Its first watch is answered as the server does once it has compacted the resourceVersion: 410."""

    watches = 0
    before_refusal: Callable[[], None] = staticmethod(lambda: None)

    def watch(
        self,
        kind: ResourceType,
        resource_version: str,
        *,
        namespace: str = "",
        label_selector: str = "",
        silence_s: float = 70.0,
        metadata_only: bool = False,
    ) -> KubeWatch:
        """As the real one, but for the first."""
        self.watches += 1
        if self.watches == 1:
            self.before_refusal()
            raise WatchExpired("too old resource version: 1 (2)", status=410)
        return super().watch(
            kind,
            resource_version,
            namespace=namespace,
            label_selector=label_selector,
            silence_s=silence_s,
            metadata_only=metadata_only,
        )


def test_a_version_that_is_too_old_is_healed_by_a_list(endpoints: Endpoints, board: Board, reflect: Reflect) -> None:
    kept, _ = board.put("a"), board.put("gone")
    outdated = OutdatedClient.connect(KubeSettings(kubeconfig=str(endpoints.kubeconfig)))
    assert isinstance(outdated, OutdatedClient)
    outdated.before_refusal = lambda: board.delete("gone")
    told = reflect(outdated)
    assert told.take(3) == [("LISTED", "a"), ("LISTED", "gone"), ("LISTED", "a")]
    event, tombstone = told.next()
    assert (event, tombstone["metadata"]["name"]) == (EventType.DELETED, "gone")
    assert tombstone.keys() == {"apiVersion", "kind", "metadata"}
    assert int(tombstone["metadata"]["resourceVersion"]) > int(kept["metadata"]["resourceVersion"])
    board.put("b")
    assert told.take(1) == [("ADDED", "b")]
    outdated.close()


def test_stopping_ends_an_idle_watch_at_once(client: KubeClient, board: Board) -> None:
    reflector = Reflector(client, CONFIG_MAPS, Recorder(), label_selector=board.selector)
    reflector.start()
    assert reflector.synced.wait(PATIENCE_S)
    reflector.stop(timeout_s=PATIENCE_S)
    assert "watch-configmaps" not in {thread.name for thread in threading.enumerate()}
