"""What the stream, the reads of tables and the control thread share: where the stream is, for which tables, and what
the topics hold.

The lock is held for the time of one transaction's publishing, so that whoever holds it stands between transactions.
Fed by: the pipeline (position), the control thread (assignment), reads of tables (keys to watch). Feeds: all three.
Never: performs I/O, except through the function that it is given to publish with.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from cdc.core.diff import Held, Reading, TableImage
from cdc.core.plan import TableSpec
from cdc.core.records import Origin, Told
from cdc.core.transaction import Transaction
from cdc.ports import Login
from shared.clock import Clock, SystemClock
from shared.model.position import Flavour, MysqlGtids, Position, TableId, file_number

__all__ = ["Assignment", "Live", "MovedOn", "Polled", "Schedule", "Watch"]


_BACKLOG_TRANSACTIONS = 16
"""So many that come by one read of the socket have waited for it."""
_BACKLOG_S = 0.2
_BEHIND_REST = 9.0
"""Of the time that a step of reading took."""
_NEVER = (2**63, 0)
_NOWHERE = Position(MysqlGtids(), "", 0, 0)
"""Of a server whose log nobody follows."""


class MovedOn(Exception):
    """The table, the plan or the incarnation changed while a table was being read."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """What the stream should read now."""

    login: Login
    tables: Mapping[TableId, TableSpec]
    """Without hubs and readers: that these change is nothing to the stream."""
    partitions: Mapping[TableId, int]
    logins: Mapping[TableId, Login] = field(default_factory=dict)
    """Whose SELECT reads a table: its oldest hub's."""
    anew: tuple[str, ...] = ()
    """Requests to begin anew at the log's present end: one that is new has the stream look at the state again."""


@dataclass(frozen=True, slots=True)
class Polled:
    """A table that is read again and again because its changes cannot be streamed."""

    spec: TableSpec
    partitions: int
    login: Login
    flavour: Flavour


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a table is read without another reason."""

    sync_interval_s: float
    """Shortest syncInterval of its hubs."""
    baseline_s: float
    """All its rows are published at least so often: the topic forgets what is older than its retention."""


@dataclass(slots=True)
class Watch:
    """A table that is being read."""

    table: TableId
    spec: TableSpec
    partitions: int
    login: Login
    log_login: Login
    """Whose stream it is: the table's own hubs need not have the right to ask where the log ends."""
    origin: Origin
    image: TableImage
    reading: Reading
    """From its low mark on."""
    since: Position | None
    """The stream had passed this when the watch began; None for a table that is polled."""
    is_void: bool = False
    """It is another table, another incarnation, or nobody wants it any more: what was read counts for nothing."""
    is_outdated: bool = False
    """Something could not be understood since: what was read counts, and another read is to follow."""


class Live:
    """Shared state under one condition variable."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.changed = threading.Condition()
        self.position: Position | None = None
        self.origin: Origin | None = None
        self.last_gtid = ""
        """Of the last transaction that the stream has passed."""
        self.lag_s = 0.0
        """How old it was then, by the server's clock."""
        self._clock = clock or SystemClock()
        self._backlog_s = -math.inf
        """When the stream was last seen to have a backlog."""
        self._reached = (0, 0)
        self._reads_from = (0, 0)
        self._wanted: Assignment | None = None
        self._active: Assignment | None = None
        self._polled: Mapping[TableId, Polled] = {}
        self._schedules: Mapping[TableId, Schedule] = {}
        self._images: dict[TableId, tuple[TableSpec, TableImage]] = {}
        self._watches: dict[TableId, Watch] = {}
        self._wake: Callable[[], None] | None = None
        self._counter = 0
        self._is_stopped = False

    # -- assignment ------------------------------------------------------------------------------------------------

    def assign(self, assignment: Assignment | None) -> None:
        """Set what to stream; a running stream is woken to begin again with it."""
        with self.changed:
            if assignment == self._wanted:
                return
            self._wanted = assignment
            wake = self._wake
            self.changed.notify_all()
        if wake is not None:
            wake()

    def poll(self, tables: Mapping[TableId, Polled], schedules: Mapping[TableId, Schedule]) -> None:
        """Set which tables are polled, and when each table is read."""
        with self.changed:
            for table, watch in self._watches.items():
                if watch.since is None and self._polled.get(table) != tables.get(table):
                    watch.is_void = True
            self._polled, self._schedules = tables, schedules
            for table, polled in tables.items():
                self._image(table, polled.spec)
            self.changed.notify_all()

    def schedule(self, table: TableId) -> Schedule | None:
        """When the table is read without another reason; None while nobody wants it."""
        return self._schedules.get(table)

    def wait_assignment(self) -> Assignment | None:
        """The assignment, as soon as there is one; None when stopped."""
        with self.changed:
            if self._wanted is None:  # asked by the pipeline: nothing is streamed any more
                self._leave()
            self.changed.wait_for(lambda: self._is_stopped or self._wanted is not None)
            return None if self._is_stopped else self._wanted

    def pause(self, assignment: Assignment, timeout_s: float) -> None:
        """Wait, unless the assignment is replaced or everything stops."""
        with self.changed:
            self.changed.wait_for(lambda: not self.is_current(assignment), timeout_s)

    def is_current(self, assignment: Assignment) -> bool:
        """Whether the assignment is still the wanted one, and nobody asked to stop."""
        return self._wanted is assignment and not self._is_stopped

    def stop(self) -> None:
        """Wake everybody for the last time."""
        self._is_stopped = True
        with self.changed:
            wake = self._wake
            self.changed.notify_all()
        if wake is not None:
            wake()

    @property
    def is_stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._is_stopped

    # -- the stream ------------------------------------------------------------------------------------------------

    def connected(self, assignment: Assignment, origin: Origin, position: Position, wake: Callable[[], None]) -> None:
        """A stream begins behind `position`. Watches of tables that changed hands are void."""
        with self.changed:
            for watch in self._watches.values():
                is_same = watch.since is None or assignment.tables.get(watch.table) == watch.spec
                watch.is_void = watch.is_void or not is_same or (watch.since is not None and origin != watch.origin)
            for table, spec in assignment.tables.items():
                self._image(table, spec)
            self._forget_images(assignment)
            self._active, self.origin, self.position, self._wake = assignment, origin, position, wake
            self._reached = position.reached
            self.changed.notify_all()
        if not self.is_current(assignment):
            wake()

    def _image(self, table: TableId, spec: TableSpec) -> TableImage:
        """What the topic holds; begun anew when the topic or the columns are others."""
        known = self._images.get(table)
        if known is None or known[0] != spec:
            known = self._images[table] = spec, TableImage(spec.columns)
        return known[1]

    def _forget_images(self, assignment: Assignment) -> None:
        for table in self._images.keys() - assignment.tables.keys() - self._polled.keys():
            del self._images[table]

    def disconnected(self) -> None:
        """The stream ended."""
        with self.changed:
            self._wake = None

    def outdate(self, tables: Iterable[TableId]) -> None:
        """Whoever reads these tables goes on to the end, and is not done then.

        A read that started over instead would never end where every change asks for it.
        """
        with self.changed:
            for table in tables:
                if table in self._watches:
                    self._watches[table].is_outdated = True

    def detach(self) -> None:
        """The incarnation ends: nothing is published any more until `connected`."""
        with self.changed:
            self._leave()

    def _leave(self) -> None:
        """No stream is followed: a read that waits for one would wait in vain."""
        self._active = None
        for watch in self._watches.values():
            watch.is_void = watch.is_void or watch.since is not None
        self.changed.notify_all()

    def passed(
        self, transactions: Sequence[Transaction], told: Iterable[Told], publish: Callable[[Position], None]
    ) -> None:
        """Transactions ended, one behind the other: publish their records and move the position behind them.

        `told` is what all of them say of the keys.
        """
        last = transactions[-1]
        with self.changed:
            if self.position is None:
                return
            gtids = (transaction.gtid for transaction in transactions)
            position = self.position.passed(gtids, last.file, last.offset, last.end)
            publish(position)
            self.position = position
            self._reached = position.reached
            self.last_gtid, self.lag_s = last.gtid, max(0.0, self._clock.wall_s() - last.ts_s)
            if len(transactions) >= _BACKLOG_TRANSACTIONS:
                self._backlog_s = self._clock.monotonic_s()
            images, watches = self._images, self._watches
            for table, uid, digest in told:
                known = images.get(table)
                if known is not None:
                    known[1].stream(uid, digest)
                if watches and table in watches:
                    watches[table].reading.touch(uid)
            if watches:
                self.changed.notify_all()

    def beat(self, file: str, end: int) -> None:
        """Between transactions: everything before this point has been seen."""
        with self.changed:
            if self.position is None:
                return
            reached = (file_number(file), end)
            if reached > self._reached:
                self._reached = reached
                offset = self.position.offset if file == self.position.file else 0
                self.position = replace(self.position, file=file, offset=offset, end=end)
                self.changed.notify_all()

    def give_way(self, took_s: float, rest: float) -> None:
        """Do nothing for `rest` times as long as a step of reading took: it takes processors from live changes.

        For much longer than the step while the stream has a backlog: live changes come first.
        """
        is_behind = self._clock.monotonic_s() - self._backlog_s < _BACKLOG_S
        with self.changed:
            self.changed.wait_for(lambda: self._is_stopped, (_BEHIND_REST if is_behind else rest) * took_s)

    # -- reads of tables -------------------------------------------------------------------------------------------

    def allow_reads(self, reached: tuple[int, int] | None) -> None:
        """No watch begins before the stream has passed this log position; None: before this is called again."""
        with self.changed:
            self._reads_from = _NEVER if reached is None else reached

    def unloaded(self) -> tuple[TableId, TableSpec, TableImage] | None:
        """A streamed table of whose topic it is not known what it held before the stream began."""
        with self.changed:
            for table, (spec, image) in self._images.items():
                if not image.is_loaded:
                    return table, spec, image
        return None

    def load(self, image: TableImage, held: list[Held]) -> None:
        """Some records of the topic from before the stream began."""
        with self.changed:
            image.load(held)

    def loaded(self, image: TableImage) -> None:
        """That was all of them."""
        with self.changed:
            image.loaded()

    def watch(self, table: TableId, *, publishes_all: bool) -> Watch | None:
        """Begin to note the table's keys; None when the stream does not read the table, or its topic is not loaded."""
        with self.changed:
            active, origin, position = self._active, self.origin, self.position
            if active is None or origin is None or position is None or table not in active.tables:
                return None
            spec = active.tables[table]
            image = self._image(table, spec)
            if self._reached < self._reads_from or not image.is_loaded:
                return None
            login = active.logins.get(table, active.login)
            reading = Reading(image, publishes_all=publishes_all)
            watch = Watch(table, spec, active.partitions[table], login, active.login, origin, image, reading, position)
            self._watches[table] = watch
            return watch

    def watch_polled(self, table: TableId, origin: Origin, *, publishes_all: bool) -> Watch | None:
        """A table that is polled; None when it is not, when the stream still reads it, or its topic is not loaded."""
        with self.changed:
            polled, active = self._polled.get(table), self._active
            if polled is None or (active is not None and table in active.tables):
                return None
            image = self._image(table, polled.spec)
            if not image.is_loaded:
                return None
            origin = replace(origin, flavour=polled.flavour)
            reading = Reading(image, publishes_all=publishes_all, is_alone=True)
            login = polled.login
            watch = Watch(table, polled.spec, polled.partitions, login, login, origin, image, reading, None)
            self._watches[table] = watch
            return watch

    def unwatch(self, watch: Watch) -> None:
        """Stop noting."""
        with self.changed:
            self._watches.pop(watch.table, None)

    def step(self, watch: Watch, high: tuple[int, int], publish: Callable[[Position, Callable[[], int]], None]) -> None:
        """Wait until the stream has passed `high`, then publish between transactions.

        A table that is polled waits for no stream, only for one that is about to begin: it may set the floor back.
        `publish` gets the position and a function that hands out the next counter. Raises MovedOn.
        """
        with self.changed:
            self.changed.wait_for(lambda: self._is_stopped or watch.is_void or self._may_step(watch, high))
            if self._is_stopped or watch.is_void:
                raise MovedOn
            publish(self.position or _NOWHERE, self._next_counter)

    def _may_step(self, watch: Watch, high: tuple[int, int]) -> bool:
        if watch.since is None:
            return self._wanted is None or self._active is not None
        return self._reached >= high

    def _next_counter(self) -> int:
        self._counter += 1
        return self._counter
