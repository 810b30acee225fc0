"""`rowplane wait`: read your write. Returns when what a transaction changed is with the table's nodes.

    the transaction is at or below the floor: its records are stored in Kafka -> the table's rows are all published
      -> the end of each partition now -> the reconcilers have committed past it: each row is in its LynqNode

Fed by: commands.py. Feeds: the terminal. Never: changes anything.
Exit codes: 0 there, 1 it cannot be waited for, 2 usage, 3 cannot reach, 4 not there in time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from threading import Event
from typing import Final

import typer
from rich.text import Text

from cdc.adapters.server import SqlServer
from cdc.core.plan import table_of
from cdc.core.schedule import ROUTINE
from cdc.operating.adapters.cluster import Cluster, source_of
from cdc.operating.adapters.progress import GroupProgress
from cdc.operating.adapters.states import followed_states
from cdc.operating.options import Format
from cdc.operating.output import age, count, err, out, print_data, tell
from shared.clock import Deadline, SystemClock
from shared.errors import InvalidError, UsageError
from shared.model.gtid import MariadbGtids, MysqlGtids, parse_gtids
from shared.model.hub import Hub
from shared.model.position import CaptureState, Flavour, Mode, Publish
from shared.settings import KafkaSettings, load_kafka

__all__ = ["wait"]

_HELD: Final = 4
_LOOK_S: Final = 0.1
_SILENT_S: Final = 30.0
"""A capture that runs stores its state every 10 s."""
_Gtids = MysqlGtids | MariadbGtids


def wait(hub_name: str, gtid: str, timeout_s: float, output: Format) -> None:
    """Raises UsageError, InvalidError, LogError, SourceError, ClusterError; exit code 4 when the time is over."""
    named = _given(gtid) if gtid else None
    kafka, cluster = load_kafka(), Cluster.connect()
    hub = cluster.one(hub_name)
    if hub.source_topic:
        raise InvalidError(
            f"LynqHub {'/'.join(hub.key)} takes its rows from a Debezium topic: no GTID tells how far that is",
            mend=f"rowplane resync --hub {'/'.join(hub.key)} has the topic read now, and waits until it is",
            reason="NoGtids",
        )
    wanted = named or _executed(cluster, hub)
    waiting = _Waiting(kafka, hub, wanted, timeout_s)
    is_there = waiting.run()
    took_s = waiting.passed_s()
    if output is not Format.TEXT:
        print_data(
            {
                "hub": "/".join(hub.key),
                "gtid": wanted.text(),
                "isThere": is_there,
                "waitedSeconds": round(took_s, 3),
                "waitsFor": waiting.why or None,
                "partitions": [
                    {"partition": number, "end": end, "committed": waiting.committed.get(number)}
                    for number, end in waiting.ends.items()
                ],
            },
            output,
        )
    elif is_there:
        what = wanted.text() if gtid else f"all that {hub.server_id} had executed"
        out().print(f"hub {'/'.join(hub.key)}: there after {age(took_s)}: {what}", markup=False)
    if not is_there:
        tell("error", f"hub {'/'.join(hub.key)}: not there after {age(timeout_s)}: {waiting.why}", _mend(cluster, hub))
        raise typer.Exit(_HELD)


def _given(gtid: str) -> _Gtids:
    """In either notation. Raises UsageError."""
    try:
        found = parse_gtids(Flavour.MYSQL if ":" in gtid else Flavour.MARIADB, gtid)
    except InvalidError as error:
        raise UsageError(f"--gtid: {error.text}", mend="Leave it out to wait for all up to now") from error
    if not found.text():
        raise UsageError(f"--gtid {gtid!r} names no transaction", mend="Leave it out to wait for all up to now")
    return found


def _executed(cluster: Cluster, hub: Hub) -> _Gtids:
    """All that the server has executed up to now. Raises InvalidError, SourceError."""
    facts = SqlServer().facts(cluster.login(hub), "")
    if not facts.has_gtid:
        raise _no_gtids(hub)
    if not facts.executed.text():
        raise InvalidError(
            f"server {hub.server_id} tells no executed GTIDs", mend="Give the transaction's own with --gtid"
        )
    return facts.executed


def _no_gtids(hub: Hub) -> InvalidError:
    return InvalidError(
        f"server {hub.server_id} is followed by file and offset: no transaction can be named to wait for",
        mend="Switch gtid_mode on; from its next connection on capture follows GTIDs",
        reason="NoGtids",
    )


def _mend(cluster: Cluster, hub: Hub) -> str:
    """What the hub says of itself, when that is not well."""
    now = cluster.hub(hub.key)
    synced = next((c for c in now.status.conditions if c.type == "Synced" and c.status != "True"), None)
    return f"The hub says {synced.reason}: {synced.message}" if synced else ""


@dataclass(slots=True)
class _Waiting:
    """One wait, and how far it has come."""

    kafka: KafkaSettings
    hub: Hub
    wanted: _Gtids
    timeout_s: float
    why: str = ""
    """What it waits for, in words."""
    ends: Mapping[int, int] = field(default_factory=dict)
    committed: Mapping[int, int] = field(default_factory=dict)
    _clock: SystemClock = field(default_factory=SystemClock)
    _begun_s: float = 0.0

    def passed_s(self) -> float:
        """Since the wait began."""
        return self._clock.monotonic_s() - self._begun_s

    def run(self) -> bool:
        """Whether it is there in time. Raises InvalidError, LogError."""
        self._begun_s = self._clock.monotonic_s()
        deadline = Deadline(self._clock, self.timeout_s)
        with err().status("") as status:

            def show(why: str) -> None:
                self.why = why
                status.update(Text(f"{age(self.passed_s())}, waiting for {why}"))

            return self._published(deadline, show) and self._consumed(deadline, show)

    def _published(self, deadline: Deadline, show: Callable[[str], None]) -> bool:
        """Whether the floor is past the transaction, and the table's rows are all published."""
        with closing(followed_states(self.kafka)) as states:
            for known in states:
                stored = known.get(self.hub.server_id)
                why = "a capture of the server" if stored is None else self._not_yet(stored.state)
                if not why:
                    return True
                silent_s = self._clock.wall_s() - stored.written_s if stored else 0.0
                show(f"{why}; it was last heard of {age(silent_s)} ago" if silent_s > _SILENT_S else why)
                if deadline.is_over():
                    return False
        raise InvalidError(
            f"topic prefix {self.kafka.topic_prefix} has no stored position",
            mend="A capture stores it when it starts; ROWPLANE_TOPIC_PREFIX must be the capture's",
            reason="NoPosition",
        )

    def _not_yet(self, state: CaptureState) -> str:
        """What is missing, as far as capture goes; empty when nothing is. Raises InvalidError."""
        name = table_of(source_of(self.hub))
        table = state.tables.get(name)
        marks = table.readers if table else ()
        if table is None or not any(mark.startswith(f"hub:{self.hub.metadata.uid}:") for mark in marks):
            return f"capture to take up the hub's table {name}"
        if table.mode is Mode.POLL:
            raise InvalidError(
                f"table {name} is polled: what is read of it belongs to no transaction",
                mend=f"rowplane resync --hub {'/'.join(self.hub.key)} has it read now, and waits until it is",
                reason="Polling",
            )
        if table.publish not in (Publish.DONE, Publish.ROWS) and table.reason not in ROUTINE:
            return f"the rows of {name} to be read: {table.reason}"
        if state.floor is not None and state.floor.by_file:
            raise _no_gtids(self.hub)
        if state.floor is None or not self._is_past(state.floor.gtids):
            return (
                f"the transaction to be in Kafka; capture is at {state.floor.gtids.text() if state.floor else 'none'}"
            )
        return ""

    def _is_past(self, passed: _Gtids) -> bool:
        if isinstance(passed, MysqlGtids) and isinstance(self.wanted, MysqlGtids):
            return passed.contains(self.wanted)
        if isinstance(passed, MariadbGtids) and isinstance(self.wanted, MariadbGtids):
            return passed.contains(self.wanted)
        raise InvalidError(f"{self.wanted.text()} is no GTID of this server", mend=f"Its own look like {passed.text()}")

    def _consumed(self, deadline: Deadline, show: Callable[[str], None]) -> bool:
        """Whether the reconcilers have committed past what the topic holds now."""
        with closing(GroupProgress(self.kafka, self.hub.topic(self.kafka.topic_prefix))) as progress:
            self.ends = progress.ends()
            while True:
                self.committed = progress.committed(self.ends.keys())
                behind = [number for number, end in self.ends.items() if self.committed[number] < end]
                if not behind:
                    return True
                records = sum(self.ends[number] - self.committed[number] for number in behind)
                show(
                    f"reconcilers of group {self.kafka.group}: {count(records, 'record')} in"
                    f" {count(len(behind), 'partition')} not done"
                )
                if deadline.is_over():
                    return False
                Event().wait(_LOOK_S)
