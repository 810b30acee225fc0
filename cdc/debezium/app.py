"""The capture process of one Debezium topic: the process of a database server with another engine in it.

Lease, epoch, state record and hub watch are those of cdc.app.
Fed by: settings, the supervisor's pipe. Feeds: nothing of its own. Never: decides; it wires.
"""

from __future__ import annotations

from cdc.adapters.debezium import KafkaSourceTopic
from cdc.adapters.publisher import KafkaChangeLog
from cdc.adapters.tails import KafkaTails
from cdc.adapters.topics import KafkaTopicKeys, KafkaTopics
from cdc.app import Capture, Log
from cdc.debezium.control import DebeziumControl, DebeziumControlParts
from cdc.debezium.loop import Republisher, RepublisherHooks, RepublisherParts
from cdc.debezium.reading import ReadParts
from shared.kafka import connect_admin
from shared.model.names import debezium_source

__all__ = ["DebeziumCapture"]


class DebeziumCapture(Capture):
    """One source topic's capture."""

    _follower: DebeziumControl | None = None

    def _on_hubs(self) -> None:
        if self._follower is not None:
            self._follower.poke()

    def _on_dead(self, topic: str, rows: int, sentence: str) -> None:
        if self._follower is not None:
            self._follower.on_dead(topic, rows, sentence)

    def _capture(self, joined: Log) -> None:
        keeper, change_log = joined.keeper, joined.change_log
        topics = KafkaTopics(joined.admin, self._kafka, change_log)
        admin = connect_admin(self._kafka)
        control = self._follower = DebeziumControl(
            DebeziumControlParts(self._server, self._kafka.topic_prefix, self._hubs, keeper, self._clock)
        )
        source = KafkaSourceTopic(self._kafka, admin, debezium_source(self._server))
        republisher = self._republisher(joined, topics, source, control)
        beside = {"stopper": lambda: self._end(change_log, control), "control": control.run}
        self._work(joined, topics, republisher.run, beside)
        admin.close()

    def _republisher(
        self, joined: Log, topics: KafkaTopics, source: KafkaSourceTopic, control: DebeziumControl
    ) -> Republisher:
        topic_keys = KafkaTopicKeys(self._kafka)
        read = ReadParts(
            source=source,
            change_log=joined.change_log,
            keeper=joined.keeper,
            clock=self._clock,
            bury=joined.dead_letters.bury,
            on_notes=control.on_notes,
        )
        return Republisher(
            RepublisherParts(
                read=read,
                topics=topics,
                tails=KafkaTails(self._kafka),
                stop=self._stop,
            ),
            RepublisherHooks(
                wanted=control.wanted,
                lowest_incarnation=lambda topic: max(topic_keys.highest_incarnation(topic), self._nodes_incarnation()),
                on_stream=control.on_stream,
                on_event=control.on_event,
            ),
        )

    def _end(self, change_log: KafkaChangeLog, control: DebeziumControl) -> None:
        self._stop.wait()
        change_log.abandon()
        control.stop()
