"""The capture process of one server: everything joined, started in order, stopped in reverse.

Fed by: settings, the supervisor's pipe. Feeds: nothing of its own. Never: decides; it wires.
"""

from __future__ import annotations

import contextvars
import gc
import os
import random
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import structlog
from prometheus_client import start_http_server

from cdc import metrics
from cdc.adapters.binlog import MysqlBinlog
from cdc.adapters.cluster import ClusterHubs
from cdc.adapters.deadletters import DeadLetters
from cdc.adapters.lease import lease_place
from cdc.adapters.logins import SecretLogins
from cdc.adapters.preflight import preflight
from cdc.adapters.publisher import KafkaChangeLog, Producer, open_producer
from cdc.adapters.server import SqlServer
from cdc.adapters.snapshot import SqlTables
from cdc.adapters.tails import KafkaTails, cluster_id
from cdc.adapters.topics import KafkaStateStore, KafkaTopicKeys, KafkaTopics
from cdc.control import Control, ControlParts
from cdc.core import conditions
from cdc.core.conditions import Report
from cdc.core.diff import Held
from cdc.core.protocol import Claim
from cdc.fullpublish import FullPublisher, FullPublisherParts
from cdc.keeper import Keeper, claim
from cdc.live import Live
from cdc.pipeline import Pipeline, PipelineHooks, PipelineParts
from shared.backoff import Backoff
from shared.clock import SystemClock
from shared.errors import ClusterError, LogError, LogUnreachable, RowplaneError, SourceError
from shared.kafka import connect_admin
from shared.kube import KubeClient
from shared.lease import Lease
from shared.model.hub import Hub
from shared.model.names import ANNOTATION_POSITION_ACCEPTED
from shared.settings import KafkaSettings, KubeSettings

__all__ = ["DRAIN_S", "Capture", "Log", "run_capture"]

log = structlog.get_logger(__name__)

DRAIN_S = 3.0
_CLOSE_S = 1.0
_LOWEST_REPLICA_ID, _HIGHEST_REPLICA_ID = 2**31, 2**32 - 1


@dataclass(frozen=True, slots=True)
class Log:
    """Kafka, connected."""

    producer: Producer
    admin: Any
    store: KafkaStateStore
    change_log: KafkaChangeLog
    keeper: Keeper
    dead_letters: DeadLetters


class _TopicsAndNodes:
    """Port `TopicKeys` for a start without a state: what the LynqNodes hold counts as what the topics do."""

    def __init__(self, topics: KafkaTopicKeys, of_nodes: Callable[[], int]) -> None:
        self._topics = topics
        self._of_nodes = of_nodes

    def held(self, topic: str) -> Iterator[Held]:
        """See the port."""
        return self._topics.held(topic)

    def highest_incarnation(self, topic: str) -> int:
        """See the port. Raises LogError."""
        return max(self._topics.highest_incarnation(topic), self._of_nodes())


class Capture:
    """One server's capture."""

    def __init__(self, server: str, kafka: KafkaSettings, kube: KubeSettings, stop: threading.Event) -> None:
        self._server = server
        self._kafka = kafka
        self._stop = stop
        self._clock = SystemClock()
        self._live = Live(self._clock)
        self._control: Control | None = None
        self._keeper: Keeper | None = None
        client = KubeClient.connect(kube)
        self._logins = SecretLogins(client)
        self._hubs = ClusterHubs(client, self._clock, self._on_hubs)
        self._lease = Lease(client, lease_place(kube.namespace, kafka.topic_prefix, server), self._clock)
        self._failure: BaseException | None = None

    def run(self) -> int:
        """Until SIGTERM; the exit code."""
        self._hubs.start()
        while not self._hubs.is_synced():
            if self._stop.wait(0.02):
                return 0
        metrics.LEADER.set(0)
        if not self._lease.wait(self._stop):
            return 0
        metrics.LEADER.set(1)
        released = threading.Event()
        renewal = self._thread("lease", lambda: self._lease.keep(released, self._doubt))
        try:
            self._lead()
        finally:
            self._hubs.stop()
            released.set()
            renewal.join(DRAIN_S)
            self._lease.release()
        if self._failure is not None:
            log.error("capture ends", server=self._server, error=f"{type(self._failure).__name__} {self._failure}")
            return self._failure.exit_code if isinstance(self._failure, RowplaneError) else 1
        log.info("capture stopped", server=self._server)
        return 0

    def _lead(self) -> None:
        """Capture, once Kafka can be used."""
        joined = self._connect_log()
        if joined is None:
            return
        try:
            self._capture(joined)
        finally:
            joined.producer.close(_CLOSE_S)
            joined.admin.close()

    def _doubt(self) -> None:
        """The Lease is not ours, or nobody can tell: what counts is whether the epoch is."""
        keeper = self._keeper
        if keeper is None or self._stop.is_set():
            return
        try:
            keeper.confirm()
        except LogUnreachable as error:
            log.warning("epoch cannot be confirmed", server=self._server, error=str(error))

    def _on_hubs(self) -> None:
        if self._control is not None:
            self._control.poke()

    # -- Kafka -----------------------------------------------------------------------------------------------------

    def _connect_log(self) -> Log | None:
        """Try until Kafka answers, telling the hubs meanwhile; None when stopped. Raises LogRefused: epoch lost."""
        backoff, failures = Backoff(first_s=0.5, cap_s=5.0), 0
        while not self._stop.is_set():
            try:
                return self._open_log()
            except LogError as error:  # a refused login too: password and certificates are mended in place
                if error.reason == "EpochLost":
                    raise
                log.warning("Kafka cannot be used", error=str(error), reason=error.reason)
                for hub in self._hubs.hubs(self._server):
                    try:
                        self._hubs.report(hub, Report(conditions.failed(error)))
                    except ClusterError as trouble:
                        log.warning("hub status not written", hub="/".join(hub.key), error=str(trouble))
                self._stop.wait(backoff.delay_s(failures, random.random()))  # noqa: S311  # jitter
                failures += 1
        return None

    def _open_log(self) -> Log:
        with ExitStack() as begun:
            producer = open_producer(self._kafka)
            begun.callback(producer.close, 0)
            admin = connect_admin(self._kafka)
            begun.callback(admin.close)
            store = KafkaStateStore(self._kafka, producer, admin, self._server)
            state = claim(store, Claim(uuid.uuid4().hex, _new_replica_id(), cluster_id(admin)))
            begun.pop_all()
        log.info("epoch claimed", server=self._server, epoch=state.epoch, incarnation=state.incarnation)
        dead_letters = DeadLetters(admin, self._kafka, self._on_dead)
        change_log = KafkaChangeLog(
            producer, self._clock, on_oversized=dead_letters.too_large, on_fitting=dead_letters.good
        )
        self._keeper = Keeper(store, state, self._clock)
        return Log(producer, admin, store, change_log, self._keeper, dead_letters)

    def _on_dead(self, topic: str, rows: int, sentence: str) -> None:
        control = self._control
        if control is not None:
            control.on_dead(topic, rows, sentence)

    # -- threads ---------------------------------------------------------------------------------------------------

    def _capture(self, joined: Log) -> None:
        live, keeper, change_log = self._live, joined.keeper, joined.change_log
        topic_keys = KafkaTopicKeys(self._kafka)
        topics = KafkaTopics(joined.admin, self._kafka, change_log)

        def on_publish() -> None:
            publisher.kick()

        control = self._control = Control(
            ControlParts(
                server=self._server,
                topic_prefix=self._kafka.topic_prefix,
                hubs=self._hubs,
                logins=self._logins,
                preflight=preflight,
                topics=topics,
                topic_keys=_TopicsAndNodes(topic_keys, self._nodes_incarnation),
                nodes_incarnation=self._nodes_incarnation,
                keeper=keeper,
                live=live,
                clock=self._clock,
                on_publish=on_publish,
            )
        )
        publisher = self._publisher(joined, topic_keys, control)
        pipeline = self._pipeline(joined, control)
        beside = {
            "stopper": lambda: self._stopper(change_log, control, publisher),
            "control": control.run,
            "full-publish": publisher.run,
        }
        self._work(joined, topics, pipeline.run, beside)
        if self._failure is None:
            keeper.write_floor(change_log)

    def _work(
        self, joined: Log, topics: KafkaTopics, engine: Callable[[], None], beside: Mapping[str, Callable[[], None]]
    ) -> None:
        """The engine in this thread, what belongs to it and the watches in others, until the end; then let it drain."""
        change_log, keeper, watches_stop = joined.change_log, joined.keeper, threading.Event()
        named = {
            **beside,
            "topic-watch": lambda: change_log.run_watch(topics.exists, watches_stop),
            "topic-ids": lambda: topics.run_watch(watches_stop),
            "floor": lambda: keeper.run_floor(change_log, watches_stop),
        }
        threads = [self._thread(name, target) for name, target in named.items()]
        try:
            engine()
        except LogError as error:
            if not self._stop.is_set():
                self._fail(error)
        self._stop.set()
        change_log.drain(DRAIN_S)
        watches_stop.set()
        for thread in threads:
            thread.join(DRAIN_S)

    def _publisher(self, joined: Log, topic_keys: KafkaTopicKeys, control: Control) -> FullPublisher:
        return FullPublisher(
            FullPublisherParts(
                server=self._server,
                tables=SqlTables(),
                topic_keys=topic_keys,
                change_log=joined.change_log,
                keeper=joined.keeper,
                live=self._live,
                clock=self._clock,
                bury=joined.dead_letters.bury,
                picked=control.picked,
                on_result=control.on_table,
            )
        )

    def _pipeline(self, joined: Log, control: Control) -> Pipeline:
        return Pipeline(
            PipelineParts(
                server=self._server,
                source=SqlServer(),
                binlog=MysqlBinlog(),
                change_log=joined.change_log,
                tails=KafkaTails(self._kafka),
                store=joined.store,
                keeper=joined.keeper,
                live=self._live,
                clock=self._clock,
            ),
            PipelineHooks(
                on_stream=lambda error: self._on_stream(joined, control, error),
                on_republish=control.on_republish,
                accepted=self._accepted,
            ),
        )

    def _on_stream(self, joined: Log, control: Control, error: SourceError | None) -> None:
        """A taken replica id means a second capture of this server; the one with the higher epoch stays."""
        if error is not None and error.reason == "ReplicaIdTaken":
            joined.keeper.confirm()
            replica_id = _new_replica_id()
            joined.keeper.change(lambda state: replace(state, replica_id=replica_id))
        control.on_stream(error)

    def _nodes_incarnation(self, hubs: Iterable[Hub] | None = None) -> int:
        """Asked until it is answered: records of a lower incarnation would all be dropped as old.

        Of some hubs, or all of the server.
        """
        while not self._stop.is_set():
            try:
                return self._hubs.highest_incarnation(self._hubs.hubs(self._server) if hubs is None else hubs)
            except ClusterError as error:
                log.warning("LynqNodes cannot be listed", error=str(error))
                self._stop.wait(1.0)
        raise LogUnreachable("capture is stopping", reason="Stopping")

    def _accepted(self) -> frozenset[str]:
        found = (hub.metadata.annotations.get(ANNOTATION_POSITION_ACCEPTED) for hub in self._hubs.hubs(self._server))
        return frozenset(uuid for uuid in found if uuid)

    def _stopper(self, change_log: KafkaChangeLog, control: Control, publisher: FullPublisher) -> None:
        self._stop.wait()
        change_log.abandon()
        self._live.stop()
        control.stop()
        publisher.kick()

    def _thread(self, name: str, target: Callable[[], None]) -> threading.Thread:
        def guarded() -> None:
            try:
                target()
            except Exception as error:  # noqa: BLE001  # a thread that dies must end the process, whatever it died of
                if not (isinstance(error, LogError) and self._stop.is_set()):
                    self._fail(error)

        context = contextvars.copy_context()
        thread = threading.Thread(target=context.run, args=(guarded,), name=name, daemon=True)
        thread.start()
        return thread

    def _fail(self, error: BaseException) -> None:
        if self._failure is None:
            self._failure = error
            trace = None if isinstance(error, RowplaneError) else error
            log.error("thread failed", thread=threading.current_thread().name, error=str(error), exc_info=trace)
        self._stop.set()


def run_capture(
    server: str,
    settings: tuple[KafkaSettings, KubeSettings],
    announce_fd: int,
    stop: threading.Event,
    kind: type[Capture] = Capture,
) -> int:
    """Capture one server until `stop`; the exit code.

    With `announce_fd` >= 0 the port of /metrics is written there; when it closes, the supervisor is gone: stop.
    """
    if announce_fd >= 0:
        http, _ = start_http_server(0, addr="127.0.0.1")
        os.write(announce_fd, f"{http.server_port}\n".encode())
        threading.Thread(target=_follow_parent, args=(announce_fd, stop), name="parent", daemon=True).start()
    gc.freeze()  # what has been imported stays; to look through it takes a full collection 30 ms, and all threads stand
    return kind(server, *settings, stop).run()


def _new_replica_id() -> int:
    """Far from the small numbers that people give to servers."""
    return random.randint(_LOWEST_REPLICA_ID, _HIGHEST_REPLICA_ID)  # noqa: S311  # no secret


def _follow_parent(fd: int, stop: threading.Event) -> None:
    """The supervisor never writes; a read that returns means that it is gone."""
    os.read(fd, 1)
    stop.set()
