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

import structlog

from cdc.core.advice import Fitness
from cdc.core.plan import Plan, TableSpec, anew_marks, hub_table, in_mode, modes, newcomers, next_state, plan_tables
from cdc.core.schedule import baseline_s
from cdc.core.standing import Standing, report_of
from cdc.keeper import Keeper
from cdc.live import Assignment, Live, Polled, Schedule
from cdc.ports import Hubs, Login, Logins, TopicFacts, TopicKeys, Topics
from cdc.reporting import write_reports
from shared.backoff import Backoff
from shared.clock import Clock
from shared.errors import ClusterError, InvalidError, LogRefused, RowplaneError, SourceError, SourceUnreachable
from shared.model.hub import Hub
from shared.model.names import dead_topic
from shared.model.position import CaptureState, Mode, TableId, TableState

__all__ = ["Control", "ControlParts"]

log = structlog.get_logger(__name__)

_Key = tuple[str, str]
_LOOK_S = 10.0
_SECRETS_LOOK_S = 1.0
"""How often the Secrets of a hub are looked at whose account was refused."""
_ACCOUNT_REASONS = frozenset(("DatabaseRefused", "SecretMissing", "TlsRefused"))
_SLOW_S = 4.0
_POLLED_AGAIN_S = 15.0
"""How often a hub that is polled is checked: what kept it from being streamed may have been mended."""
_TOPIC_AGAIN_S = 15.0
"""How often a topic that Kafka refused is asked for."""


@dataclass(frozen=True, slots=True)
class ControlParts:
    """What the control thread works with."""

    server: str
    """`host:port`."""
    topic_prefix: str
    hubs: Hubs
    logins: Logins
    preflight: Callable[[Login, TableId, str, Iterable[str]], Fitness]
    """(login, table, uid column, columns); raises SourceError when the table cannot be read."""
    topics: Topics
    topic_keys: TopicKeys
    nodes_incarnation: Callable[[Iterable[Hub]], int]
    """The highest of any row that LynqNodes of these hubs hold; 0: none. Raises LogError at the end of the process."""
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
    fitness: Fitness | None = None
    error: RowplaneError | None = None
    is_joined: bool = False
    """Whether its table is captured for it."""
    failures: int = 0
    again_at_s: float | None = None
    secrets: str = ""
    """Version of the Secrets that were used."""

    @property
    def is_refused(self) -> bool:
        """Whether another Secret could mend it."""
        return self.error is not None and self.error.reason in _ACCOUNT_REASONS


@dataclass(slots=True)
class _Troubles:
    """What other threads have said."""

    stream: SourceError | None = None
    is_streaming: bool = False
    tables: dict[TableId, RowplaneError] = field(default_factory=dict)
    dead: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Change topic to the number of rows that could not be published as they are now, and a sentence about the last."""


class Control:
    """Runs in a thread of its own."""

    def __init__(self, parts: ControlParts) -> None:
        self._parts = parts
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._checks: dict[_Key, _Check] = {}
        self._troubles = _Troubles()
        self._recheck_all = False
        self._recheck: set[TableId] = set()
        self._topics: dict[str, TopicFacts] = {}
        self._refusals: dict[str, tuple[InvalidError, float]] = {}  # topic to why there is none, and when to ask again
        self._modes: dict[TableId, Mode] = {}
        self._picks: dict[str, tuple[str, ...]] = {}
        self._backoff = Backoff(first_s=0.5, cap_s=15.0)

    # -- from other threads ----------------------------------------------------------------------------------------

    def poke(self) -> None:
        """Something may have changed."""
        self._wake.set()

    def on_stream(self, error: SourceError | None) -> None:
        """The stream runs (None), or why it does not; one that was refused has the hubs checked again.

        While a server is away a check would only wait for it, and keep the hubs from saying so.
        """
        with self._lock:
            self._troubles.stream = error
            self._troubles.is_streaming = error is None
            self._recheck_all = self._recheck_all or (error is not None and not error.retriable)
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
                if error.reason in _ACCOUNT_REASONS:  # perhaps the Secret knows better by now
                    self._recheck.add(table)
        self.poke()

    def picked(self, mark: str) -> tuple[str, ...]:
        """The uids that a request for some rows names."""
        return self._picks.get(mark, ())

    def on_dead(self, topic: str, rows: int, sentence: str) -> None:
        """So many rows could not be published as they are now; the hubs of the table say so."""
        with self._lock:
            if rows:
                self._troubles.dead[topic] = rows, sentence
            else:
                self._troubles.dead.pop(topic, None)
        self.poke()

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
        look_s = _SECRETS_LOOK_S if any(check.is_refused for check in self._checks.values()) else _LOOK_S
        return max(0.05, min([look_s, *due]))

    def _round(self) -> None:
        hubs = self._parts.hubs.hubs(self._parts.server)
        self._check(hubs)
        joined = [hub for hub in hubs if self._checks[hub.key].is_joined]
        plan = plan_tables(joined, self._parts.hubs.forms(), self._parts.topic_prefix)
        plan = self._with_topics(plan)
        self._picks = {mark: uids for spec in plan.tables.values() for mark, uids in spec.picks}
        fitness = {key: check.fitness for key, check in self._checks.items() if check.fitness is not None}
        self._modes, streamer = modes(plan, fitness)
        self._store(plan, hubs)
        self._assign(plan, streamer)
        self._parts.on_publish()
        self._report(hubs, plan)

    # -- checks ----------------------------------------------------------------------------------------------------

    def _check(self, hubs: list[Hub]) -> None:
        with self._lock:
            recheck_all, self._recheck_all = self._recheck_all, False
            tables, self._recheck = self._recheck, set()
        now_s = self._parts.clock.monotonic_s()
        keys = {hub.key for hub in hubs}
        self._checks = {key: check for key, check in self._checks.items() if key in keys}
        due: list[tuple[Hub, _Check]] = []
        for hub in hubs:
            mark = (hub.metadata.uid, hub.metadata.generation)
            check = self._checks.get(hub.key)
            if check is None or check.mark != mark:
                check = self._checks[hub.key] = _Check(mark)
            elif not (recheck_all or hub_table(hub) in tables or self._is_due(hub, check, now_s)):
                continue
            due.append((hub, check))
        self._check_due(sorted(due, key=lambda found: found[1].again_at_s or 0.0))

    def _check_due(self, due: list[tuple[Hub, _Check]]) -> None:
        """One check waits for a silent server, not one after the other: the rest has its turn in later rounds."""
        silent: RowplaneError | None = None
        for hub, check in due:
            begun_s = self._parts.clock.monotonic_s()
            if silent is None:
                self._check_one(hub, check)
                is_slow = self._parts.clock.monotonic_s() - begun_s >= _SLOW_S
                silent = check.error if is_slow and isinstance(check.error, SourceUnreachable) else None
            elif not check.is_joined:
                check.error, check.again_at_s = silent, begun_s

    def _is_due(self, hub: Hub, check: _Check, now_s: float) -> bool:
        if check.again_at_s is not None and check.again_at_s <= now_s:
            return True
        try:
            return check.is_refused and self._parts.logins.secrets_version(hub) != check.secrets
        except ClusterError:
            return False

    def _check_one(self, hub: Hub, check: _Check) -> None:
        table = hub_table(hub)
        if table is None:
            return
        try:
            check.secrets = self._parts.logins.secrets_version(hub)  # before what they hold: a change is never missed
            login = self._parts.logins.login(hub)
            fitness = self._parts.preflight(login, table, hub.spec.value_mappings.uid, hub.columns())
        except RowplaneError as error:
            if not isinstance(error, SourceError | ClusterError):
                raise
            if str(error) != str(check.error):
                log.warning("hub cannot be served", hub="/".join(hub.key), reason=error.reason, error=str(error))
            check.error = error
            goes_on = error.retriable or (check.is_refused and self._troubles.is_streaming)
            check.is_joined = check.is_joined and goes_on
            delay_s = self._backoff.delay_s(check.failures, random.random())  # noqa: S311  # jitter
            check.failures += 1
            check.again_at_s = self._parts.clock.monotonic_s() + delay_s
            return
        check.login, check.fitness, check.error, check.is_joined, check.failures = login, fitness, None, True, 0
        now_s = self._parts.clock.monotonic_s()
        check.again_at_s = None if fitness.obstacle is None else now_s + _POLLED_AGAIN_S

    # -- plan ------------------------------------------------------------------------------------------------------

    def _with_topics(self, plan: Plan) -> Plan:
        """Topics exist; a table that has none, or one that was made with another partition count, is refused."""
        refused = dict(plan.refused)
        tables: dict[TableId, TableSpec] = {}
        for table, spec in plan.tables.items():
            error = self._no_topic(spec)
            known = self._parts.keeper.state.tables.get(table)
            count = 0 if error else self._topics[spec.topic].partitions
            if error is None and known is not None and known.topic == spec.topic and known.partitions != count:
                error = InvalidError(
                    f"topic {spec.topic} has {count} partitions, capture wrote {known.partitions}",
                    mend="Restore the topic, or delete it: then it is made anew and all rows are published",
                    reason="PartitionsChanged",
                )
            if error is None:
                tables[table] = spec
            else:
                refused |= dict.fromkeys(spec.hubs, error)
        return replace(plan, tables=tables, refused=refused)

    def _no_topic(self, spec: TableSpec) -> InvalidError | None:
        """Why Kafka refuses the table its topic, which is nothing to other tables. Raises LogUnreachable."""
        if spec.topic in self._topics:
            return None
        now_s = self._parts.clock.monotonic_s()
        known, again_at_s = self._refusals.get(spec.topic, (None, now_s))
        if now_s < again_at_s:
            return known
        try:
            self._topics[spec.topic] = self._parts.topics.ensure_table_topic(spec.topic, spec.partitions)
        except LogRefused as refusal:
            if known is None:
                log.warning("table has no topic", table=str(spec.id), reason=refusal.reason, error=str(refusal))
            error = InvalidError(refusal.text, mend=refusal.mend, reason=refusal.reason)
            self._refusals[spec.topic] = error, now_s + _TOPIC_AGAIN_S
            return error
        return None

    def _store(self, plan: Plan, hubs: list[Hub]) -> None:
        named = {table for hub in hubs if (table := hub_table(hub))}
        if not plan.tables and named:
            return
        known = self._parts.keeper.state
        new = {
            table: self._parts.topic_keys.highest_incarnation(spec.topic)
            for table, spec in plan.tables.items()
            if known.floor is None or (table not in known.tables and self._modes[table] is Mode.POLL)
        }
        came = newcomers(known, plan, hubs)
        held = self._parts.nodes_incarnation(came) if came and known.floor is not None else -1
        self._parts.keeper.change(lambda state: self._next(state, plan, named, new, held))

    def _next(
        self, state: CaptureState, plan: Plan, named: set[TableId], incarnations: dict[TableId, int], held: int
    ) -> CaptureState:
        """`held`: incarnation of rows that LynqNodes of hubs hold which another server has served so far."""
        tables: dict[TableId, TableState] = {}
        for table, spec in plan.tables.items():
            facts = self._topics[spec.topic]
            tables[table] = next_state(spec, state.tables.get(table), facts.partitions, facts.topic_id)
        left_out = {table: "table was not captured" for table in named - tables.keys() if table in state.tables}
        tables |= {table: state.tables[table] for table in left_out}
        lowest = max(incarnations.values(), default=0) if state.floor is None else 0
        following = replace(state, tables=tables, incarnation=max(state.incarnation, lowest))
        known = {mark for table in state.tables.values() for mark in table.readers}
        if set(anew_marks(plan.readers)) - known:
            following = replace(following, incarnation=following.incarnation + 1, anew="it was asked for")
        if held >= following.incarnation:
            following = replace(following, incarnation=held + 1, anew="a hub came from another server")
        for table, mode in self._modes.items():
            following = in_mode(following, table, mode, state.tables.get(table), incarnations.get(table, 0))
        return following.republish(left_out, deletes=True)

    def _assign(self, plan: Plan, streamer: _Key | None) -> None:
        live = self._parts.live
        logins: dict[TableId, Login] = {}
        for table, spec in plan.tables.items():
            login = next((self._checks[key].login for key in spec.hubs if self._checks[key].login), None)
            if login is not None:
                logins[table] = login
        live.poll(
            {table: self._polled(plan.tables[table], logins[table]) for table in self._in_mode(plan, Mode.POLL)},
            {
                table: Schedule(spec.sync_interval_s, baseline_s(self._topics[spec.topic].retention_s))
                for table, spec in plan.tables.items()
            },
        )
        streamed = {table: plan.tables[table].bare for table in self._in_mode(plan, Mode.STREAM)}
        login = self._checks[streamer].login if streamer is not None else None
        if not streamed or login is None:
            live.assign(None)
            return
        partitions = {table: self._topics[spec.topic].partitions for table, spec in streamed.items()}
        of_tables = {table: logins[table] for table in streamed}
        live.assign(Assignment(login, streamed, partitions, of_tables, anew_marks(plan.readers)))

    def _in_mode(self, plan: Plan, mode: Mode) -> list[TableId]:
        return [table for table in plan.tables if self._modes[table] is mode]

    def _polled(self, spec: TableSpec, login: Login) -> Polled:
        fitness = next(f for key in spec.hubs if (f := self._checks[key].fitness) is not None)
        return Polled(spec.bare, self._topics[spec.topic].partitions, login, fitness.flavour)

    # -- status ----------------------------------------------------------------------------------------------------

    def _report(self, hubs: list[Hub], plan: Plan) -> None:
        with self._lock:
            known = self._troubles
            troubles = replace(known, tables=dict(known.tables), dead=dict(known.dead))
        write_reports(self._parts.hubs, hubs, lambda hub: report_of(hub, self._standing(hub, plan, troubles)))

    def _standing(self, hub: Hub, plan: Plan, troubles: _Troubles) -> Standing:
        check, live = self._checks[hub.key], self._parts.live
        table = hub_table(hub)
        state = self._parts.keeper.state.tables.get(table) if table else None
        spec = plan.tables.get(table) if table else None
        return Standing(
            error=check.error or plan.refused.get(hub.key),
            partitions=state.partitions if state else 0,
            fitness=check.fitness,
            state=state,
            is_polled=table is not None and self._modes.get(table) is Mode.POLL,
            every_s=spec.sync_interval_s if spec else 0.0,
            is_streaming=troubles.is_streaming,
            stream=troubles.stream,
            reading=troubles.tables.get(table) if table else None,
            dead=troubles.dead.get(state.topic) if state else None,
            dead_topic=dead_topic(self._parts.topic_prefix),
            lag_s=int(live.lag_s),
            last_gtid=live.last_gtid,
        )
