"""The capture's state record: changed in one place, its floor written as it moves.

Fed by: the claim at start, the pipeline and the control thread since. Feeds: the state topic.
Never: writes a floor above what is stored, or one of an incarnation that has ended.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import structlog

from cdc import metrics
from cdc.core import protocol
from cdc.core.protocol import Apply, Claim
from cdc.core.resume import Remembered
from cdc.ports import ChangeLog, StateStore
from shared.clock import Clock
from shared.model.position import CaptureState, Position

__all__ = ["Keeper", "StoredStates", "claim"]

log = structlog.get_logger(__name__)

_MOVING_S = 0.2
_IDLE_S = 10.0


class StoredStates:
    """A state store as the protocol awaits it; it answers in the calling thread."""

    def __init__(self, store: StateStore) -> None:
        self._store = store

    async def load(self) -> Sequence[CaptureState]:
        """Raises LogError."""
        return self._store.load()

    async def append(self, state: CaptureState) -> None:
        """Raises LogError."""
        self._store.append(state)


def claim(store: StateStore, wish: Claim) -> CaptureState:
    """Become the writer. Raises LogRefused (EpochLost) when another process won, LogError."""
    return protocol.run(protocol.claim(StoredStates(store), wish))


class Keeper:
    """The state and its lock; every change is stored before it counts."""

    def __init__(self, store: StateStore, state: CaptureState, clock: Clock) -> None:
        self._store = store
        self._state = state
        self._clock = clock
        self._lock = threading.Lock()
        self._floor_at_s = clock.monotonic_s()
        self._created_s = {state.floor.file: state.floor_created_s} if state.floor else {}
        self.remembered: Remembered | None = None
        """What the topics held at the start of the stream; the floor says when it matters no more."""

    @property
    def state(self) -> CaptureState:
        """The last stored state."""
        return self._state

    def confirm(self) -> None:
        """Raises LogRefused (EpochLost) when another process has claimed a higher epoch, LogError."""
        protocol.run(protocol.confirm(StoredStates(self._store), self._state))

    def change(self, apply: Apply) -> CaptureState:
        """Replace the state and return when it is stored. Raises LogError; the state then is as it was."""
        with self._lock:
            return self._replace(apply(self._state))

    def renew(self, apply: Apply, position: Position, change_log: ChangeLog) -> CaptureState:
        """As `change`; the floor goes on from `position`, and none of before is written over it. Raises LogError."""
        with self._lock:
            state = self._replace(apply(self._state))
            self.remembered = None
            self._created_s = {position.file: state.floor_created_s}  # names mean other files now
            change_log.publish((), position)
            return state

    def _replace(self, wanted: CaptureState) -> CaptureState:
        if wanted != self._state:
            self._store.append(wanted)
            self._state = wanted
        return self._state

    def note_file(self, file: str, created_s: int) -> None:
        """When a binlog file was begun, seconds since 1970; 0 when not known."""
        with self._lock:
            self._created_s = {name: self._created_s[name] for name in list(self._created_s)[-8:]}
            self._created_s[file] = created_s

    def created_s(self, file: str) -> int:
        """When the file was begun; 0 when not known."""
        return self._created_s.get(file, 0)

    def write_floor(self, change_log: ChangeLog) -> None:
        """Store the floor when it moved, and every 10 s when it did not (the heartbeat)."""
        with self._lock:
            floor = change_log.floor()  # asked under the lock: never that of an incarnation that ends meanwhile
            now_s = self._clock.monotonic_s()
            is_new = floor is not None and floor != self._state.floor
            if not is_new and now_s - self._floor_at_s < _IDLE_S:
                return
            wanted = self._state
            if floor is not None:
                wanted = protocol.floored(wanted, floor, self.created_s(floor.file), self.remembered)
            self._store.append(wanted)
            self._state = wanted
            self._floor_at_s = now_s
        metrics.FLOOR_WRITES.inc()

    def run_floor(self, change_log: ChangeLog, stop: threading.Event) -> None:
        """Write the floor, at most every 200 ms, until `stop`."""
        while not stop.wait(_MOVING_S):
            self.write_floor(change_log)
