"""What the stream, the full publish and the control thread share: where the stream is, and for which tables.

The lock is held for the time of one transaction's publishing, so that whoever holds it stands between transactions.
Fed by: the pipeline (position), the control thread (assignment), the full publish (keys to watch). Feeds: all three.
Never: performs I/O, except through the function that it is given to publish with.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from cdc.core.plan import TableSpec
from cdc.core.records import Origin
from cdc.core.transaction import Transaction
from cdc.ports import Login
from shared.model.position import Position, TableId, file_number

__all__ = ["Assignment", "Live", "MovedOn", "Watch"]


_NEVER = (2**63, 0)


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


@dataclass(slots=True)
class Watch:
    """A table under full publish."""

    table: TableId
    assignment: Assignment
    origin: Origin
    since: Position
    """The stream had passed this when the watch began."""
    touched: set[str] = field(default_factory=set)
    """Keys of records that the stream has published since."""
    is_void: bool = False
    """Something could not be understood since; read again."""


class Live:
    """Shared state under one condition variable."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.position: Position | None = None
        self.origin: Origin | None = None
        self._reached = (0, 0)
        self._reads_from = (0, 0)
        self._wanted: Assignment | None = None
        self._active: Assignment | None = None
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

    def wait_assignment(self) -> Assignment | None:
        """The assignment, as soon as there is one; None when stopped."""
        with self.changed:
            self.changed.wait_for(lambda: self._is_stopped or self._wanted is not None)
            return None if self._is_stopped else self._wanted

    def pause(self, assignment: Assignment, timeout_s: float) -> None:
        """Wait, unless the assignment is replaced or everything stops."""
        with self.changed:
            self.changed.wait_for(lambda: not self.is_current(assignment), timeout_s)

    def is_current(self, assignment: Assignment) -> bool:
        """Whether the assignment is still the wanted one, and nobody asked to stop."""
        return self._wanted is assignment and not self._is_stopped

    def active(self) -> Assignment | None:
        """The assignment that the stream runs with; None while it is not connected for the first time."""
        return self._active

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
                same = assignment.tables.get(watch.table) == watch.assignment.tables.get(watch.table)
                watch.is_void = watch.is_void or not same or origin != watch.origin
            self._active, self.origin, self.position, self._wake = assignment, origin, position, wake
            self._reached = position.reached
            self.changed.notify_all()
        if not self.is_current(assignment):
            wake()

    def disconnected(self) -> None:
        """The stream ended."""
        with self.changed:
            self._wake = None

    def void(self, tables: Iterable[TableId]) -> None:
        """What is being read of these tables counts for nothing any more."""
        with self.changed:
            for table in tables:
                if table in self._watches:
                    self._watches[table].is_void = True
            self.changed.notify_all()

    def detach(self) -> None:
        """The incarnation ends: nothing is published any more until `connected`."""
        with self.changed:
            self._active = None
            for watch in self._watches.values():
                watch.is_void = True
            self.changed.notify_all()

    def passed(self, transaction: Transaction, publish: Callable[[Position], None]) -> None:
        """A transaction ended: publish its records and move the position behind it."""
        with self.changed:
            if self.position is None:
                return
            position = self.position.passed(transaction.gtid, transaction.file, transaction.offset, transaction.end)
            publish(position)
            self.position = position
            self._reached = position.reached
            for change in transaction.changes:
                watch = self._watches.get(change.table)
                if watch is not None:
                    watch.touched.add(change.uid)
            if self._watches:
                self.changed.notify_all()

    def beat(self, file: str, end: int) -> None:
        """Between transactions: everything before this point has been seen."""
        with self.changed:
            if self.position is None:
                return
            reached = (file_number(file), end)
            if reached > self._reached:
                self._reached = reached
                if file == self.position.file:
                    self.position = replace(self.position, end=max(self.position.end, end))
                self.changed.notify_all()

    # -- full publish ----------------------------------------------------------------------------------------------

    def allow_reads(self, reached: tuple[int, int] | None) -> None:
        """No watch begins before the stream has passed this log position; None: before this is called again."""
        with self.changed:
            self._reads_from = _NEVER if reached is None else reached

    def watch(self, table: TableId) -> Watch | None:
        """Begin to note the table's keys; None when the stream does not read the table."""
        with self.changed:
            active, origin, position = self._active, self.origin, self.position
            if active is None or origin is None or position is None or table not in active.tables:
                return None
            if self._reached < self._reads_from:
                return None
            watch = Watch(table, active, origin, position)
            self._watches[table] = watch
            return watch

    def unwatch(self, watch: Watch) -> None:
        """Stop noting."""
        with self.changed:
            self._watches.pop(watch.table, None)

    def step(self, watch: Watch, high: tuple[int, int], publish: Callable[[Position, Callable[[], int]], None]) -> None:
        """Wait until the stream has passed `high`, then publish between transactions.

        `publish` gets the position and a function that hands out the next counter. Raises MovedOn.
        """
        with self.changed:
            self.changed.wait_for(lambda: self._is_stopped or watch.is_void or self._reached >= high)
            if self._is_stopped or watch.is_void or self.position is None:
                raise MovedOn
            publish(self.position, self._next_counter)

    def _next_counter(self) -> int:
        self._counter += 1
        return self._counter
