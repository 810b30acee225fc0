"""The control thread: which hubs can be served, what the stream should read for them, and what their status says.

    hubs and forms as they are now -> check each hub that is new, changed or due again -> plan the tables
      -> topics, state record -> assignment for the stream -> conditions

Fed by: the hub watch, the stream and the full publish (by `poke`). Feeds: the shared assignment, the state record,
hub conditions. Never: lets one hub's trouble stop another hub.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Protocol

import structlog

from cdc import metrics
from cdc.core import conditions
from cdc.core.conditions import Verdict
from cdc.core.plan import ANNOTATION_RESYNC, Plan, TableSpec, next_state, plan_tables, table_of
from cdc.keeper import Keeper
from cdc.live import Assignment, Live
from cdc.ports import Login, TopicKeys, Topics
from shared.backoff import Backoff
from shared.clock import Clock
from shared.errors import ClusterError, InvalidError, LogRefused, RowplaneError, SourceError
from shared.model.form import Form
from shared.model.hub import Hub
from shared.model.position import CaptureState, Publish, TableId

__all__ = ["Control", "ControlParts", "Hubs"]

log = structlog.get_logger(__name__)

_Key = tuple[str, str]


class Hubs(Protocol):
    """The cluster, as far as the control thread needs it."""

    def hubs(self, server: str = "") -> list[Hub]:
        """Hubs of the server, oldest first."""
        ...

    def forms(self) -> list[Form]:
        """All forms."""
        ...

    def password(self, hub: Hub) -> str:
        """Raises SourceRefused, ClusterError."""
        ...

    def report(self, hub: Hub, verdicts: Iterable[Verdict]) -> None:
        """Write the conditions that are news. Raises ClusterError."""
        ...


@dataclass(frozen=True, slots=True)
class ControlParts:
    """What the control thread works with."""

    server: str
    """`host:port`."""
    topic_prefix: str
    hubs: Hubs
    preflight: Callable[[Login, TableId, str, Iterable[str]], None]
    """(login, table, uid column, columns); raises SourceError."""
    topics: Topics
    topic_keys: TopicKeys
    keeper: Keeper
    live: Live
    clock: Clock
    on_publish: Callable[[], None]
    """The state may name tables to publish."""


@dataclass(slots=True)
class _Check:
    """What is known of one hub."""

    mark: object
    login: Login | None = None
    error: RowplaneError | None = None
    is_joined: bool = False
    """Whether its table is captured for it."""
    failures: int = 0
    again_at_s: float | None = None


@dataclass(slots=True)
class _Troubles:
    """What other threads have said."""

    stream: SourceError | None = None
    is_streaming: bool = False
    tables: dict[TableId, RowplaneError] = field(default_factory=dict)


class Control:
    """Runs in a thread of its own."""

    def __init__(self, parts: ControlParts) -> None:
        self._parts = parts
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._checks: dict[_Key, _Check] = {}
        self._troubles = _Troubles()
        self._recheck_all = False
        self._topics: dict[str, int] = {}
        self._backoff = Backoff(first_s=0.5, cap_s=15.0)

    # -- from other threads ----------------------------------------------------------------------------------------

    def poke(self) -> None:
        """Something may have changed."""
        self._wake.set()

    def on_stream(self, error: SourceError | None) -> None:
        """The stream runs (None), or why it does not; a stream that broke has the hubs checked again."""
        with self._lock:
            self._troubles.stream = error
            self._troubles.is_streaming = error is None
            self._recheck_all = self._recheck_all or error is not None
        self.poke()

    def on_republish(self) -> None:
        """Tables must be published again, perhaps because they changed: check their hubs too."""
        with self._lock:
            self._recheck_all = True
        self.poke()

    def on_table(self, table: TableId, error: RowplaneError | None) -> None:
        """A table's full publish is done (None), or why it is not."""
        with self._lock:
            if error is None:
                self._troubles.tables.pop(table, None)
            else:
                self._troubles.tables[table] = error
        self.poke()

    def on_oversized(self, topic: str, uid: str, size_bytes: int, limit_bytes: int) -> None:
        """A row could not be published; its hubs say so until the table has been published in full again."""
        error = LogRefused(
            f"row {uid} makes a record of {size_bytes} bytes, topic {topic} takes {limit_bytes}",
            mend=f"Raise max.message.bytes of the topic or map fewer columns, then set annotation {ANNOTATION_RESYNC}",
            reason="RecordTooLarge",
        )
        for table, state in self._parts.keeper.state.tables.items():
            if state.topic == topic:
                self.on_table(table, error)

    # -- the loop --------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Until the shared state is stopped. Raises LogError."""
        while not self._parts.live.is_stopped:
            self._wake.clear()
            self._round()
            self._wake.wait(self._pause_s())

    def stop(self) -> None:
        """Wake the loop, so that it sees the end."""
        self._wake.set()

    def _pause_s(self) -> float:
        now_s = self._parts.clock.monotonic_s()
        due = [check.again_at_s - now_s for check in self._checks.values() if check.again_at_s is not None]
        return max(0.05, min([10.0, *due]))

    def _round(self) -> None:
        hubs = self._parts.hubs.hubs(self._parts.server)
        self._check(hubs)
        joined = [hub for hub in hubs if self._checks[hub.key].is_joined]
        plan = plan_tables(joined, self._parts.hubs.forms(), self._parts.topic_prefix)
        plan = self._with_topics(plan)
        self._store(plan, hubs)
        self._assign(plan)
        self._parts.on_publish()
        self._report(hubs, plan)

    # -- checks ----------------------------------------------------------------------------------------------------

    def _check(self, hubs: list[Hub]) -> None:
        with self._lock:
            recheck_all, self._recheck_all = self._recheck_all, False
        now_s = self._parts.clock.monotonic_s()
        keys = {hub.key for hub in hubs}
        self._checks = {key: check for key, check in self._checks.items() if key in keys}
        for hub in hubs:
            mark = (hub.metadata.uid, hub.metadata.generation)
            check = self._checks.get(hub.key)
            if check is None or check.mark != mark:
                check = self._checks[hub.key] = _Check(mark)
            elif not recheck_all and (check.again_at_s is None or check.again_at_s > now_s):
                continue
            self._check_one(hub, check)

    def _check_one(self, hub: Hub, check: _Check) -> None:
        source = hub.spec.source.mysql
        if source is None:
            return
        try:
            login = Login(source.host, source.port, source.username, self._parts.hubs.password(hub))
            self._parts.preflight(login, table_of(source), hub.spec.value_mappings.uid, hub.columns())
        except RowplaneError as error:
            if not isinstance(error, SourceError | ClusterError):
                raise
            if str(error) != str(check.error):
                log.warning("hub cannot be served", hub="/".join(hub.key), reason=error.reason, error=str(error))
            check.error = error
            check.is_joined = check.is_joined and error.retriable
            delay_s = self._backoff.delay_s(check.failures, random.random())  # noqa: S311  # jitter
            check.failures += 1
            check.again_at_s = self._parts.clock.monotonic_s() + delay_s
            return
        check.login, check.error, check.is_joined, check.failures, check.again_at_s = login, None, True, 0, None

    # -- plan ------------------------------------------------------------------------------------------------------

    def _with_topics(self, plan: Plan) -> Plan:
        """Topics exist; a table whose topic was made with another partition count is refused."""
        refused = dict(plan.refused)
        tables: dict[TableId, TableSpec] = {}
        for table, spec in plan.tables.items():
            if spec.topic not in self._topics:
                self._topics[spec.topic] = self._parts.topics.ensure_table_topic(spec.topic)
            known = self._parts.keeper.state.tables.get(table)
            count = self._topics[spec.topic]
            if known is not None and known.topic == spec.topic and known.partitions != count:
                text = f"topic {spec.topic} has {count} partitions, capture wrote {known.partitions}"
                refused |= dict.fromkeys(spec.hubs, f"{text}. Restore the topic, or delete it and its state")
                continue
            tables[table] = spec
        return replace(plan, tables=tables, refused=refused)

    def _store(self, plan: Plan, hubs: list[Hub]) -> None:
        named = {table_of(hub.spec.source.mysql) for hub in hubs if hub.spec.source.mysql}
        if not plan.tables and named:
            return
        lowest = 0
        if self._parts.keeper.state.floor is None:
            lowest = max((self._parts.topic_keys.highest_incarnation(s.topic) for s in plan.tables.values()), default=0)
        self._parts.keeper.change(lambda state: self._next(state, plan, named, lowest))

    def _next(self, state: CaptureState, plan: Plan, named: set[TableId], lowest: int) -> CaptureState:
        tables = {
            table: next_state(spec, state.tables.get(table), self._topics[spec.topic])
            for table, spec in plan.tables.items()
        }
        for table in named - tables.keys():
            if table in state.tables:
                tables[table] = replace(
                    state.tables[table], publish=Publish.RUNNING, reason="table was not captured", deletes=True
                )
        return replace(state, tables=tables, incarnation=max(state.incarnation, lowest))

    def _assign(self, plan: Plan) -> None:
        if not plan.tables:
            self._parts.live.assign(None)
            return
        logins: dict[TableId, Login] = {}
        for table, spec in plan.tables.items():
            login = next((self._checks[key].login for key in spec.hubs if self._checks[key].login), None)
            if login is not None:
                logins[table] = login
        first = next(iter(plan.tables))
        tables = {table: replace(spec, hubs=(), readers=()) for table, spec in plan.tables.items()}
        self._parts.live.assign(
            Assignment(
                login=logins[first],
                tables=tables,
                partitions={table: self._topics[spec.topic] for table, spec in plan.tables.items()},
                logins=logins,
            )
        )

    # -- conditions ------------------------------------------------------------------------------------------------

    def _report(self, hubs: list[Hub], plan: Plan) -> None:
        with self._lock:
            troubles = replace(self._troubles, tables=dict(self._troubles.tables))
        failing = 0
        for hub in hubs:
            verdicts = self._verdicts(hub, plan, troubles)
            failing += any(not verdict.status for verdict in verdicts)
            try:
                self._parts.hubs.report(hub, verdicts)
            except ClusterError as error:
                log.warning("hub status not written", hub="/".join(hub.key), error=str(error))
        metrics.HUBS.labels("served").set(len(hubs) - failing)
        metrics.HUBS.labels("failing").set(failing)

    def _verdicts(self, hub: Hub, plan: Plan, troubles: _Troubles) -> tuple[Verdict, ...]:
        check = self._checks[hub.key]
        source = hub.spec.source.mysql
        if source is None:
            return ()
        table = table_of(source)
        state = self._parts.keeper.state.tables.get(table)
        error = (
            check.error
            or (InvalidError(plan.refused[hub.key], reason="MappingRefused") if hub.key in plan.refused else None)
            or troubles.stream
            or troubles.tables.get(table)
        )
        if error is not None:
            return conditions.failed(error)
        if state is None or state.publish is Publish.RUNNING or not troubles.is_streaming:
            return conditions.snapshotting(str(table), state.reason if state else "table is new")
        return conditions.streaming(str(table))
