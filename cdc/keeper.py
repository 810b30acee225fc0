"""The capture's state record: claimed at start, changed in one place, its floor written as it moves.

Fed by: the state topic at start, the pipeline and the control thread since. Feeds: the state topic.
Never: writes a floor above what is stored, or a record in a lost epoch.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

import structlog

from cdc import metrics
from cdc.ports import ChangeLog, StateStore
from shared.clock import Clock
from shared.errors import LogRefused
from shared.model.position import CaptureState, settle

__all__ = ["Keeper", "claim"]

log = structlog.get_logger(__name__)

_MOVING_S = 0.2
_IDLE_S = 10.0


def claim(store: StateStore, nonce: str, replica_id: int) -> CaptureState:
    """Become the writer: append the next epoch and read it back; the first record of an epoch wins.

    `replica_id` is used when no state exists. Raises LogRefused when another process won, LogError.
    """
    known = settle(store.load()) or CaptureState(epoch=0, nonce="", replica_id=replica_id)
    wanted = replace(known, epoch=known.epoch + 1, nonce=nonce)
    store.append(wanted)
    settled = settle(store.load())
    if settled is None or (settled.epoch, settled.nonce) != (wanted.epoch, nonce):
        raise LogRefused(
            f"epoch {wanted.epoch} of this server's capture was claimed by another process",
            mend="Run one capture per server; this one stops",
            reason="EpochLost",
        )
    return settled


class Keeper:
    """The state and its lock; every change is stored before it counts."""

    def __init__(self, store: StateStore, state: CaptureState, clock: Clock) -> None:
        self._store = store
        self._state = state
        self._clock = clock
        self._lock = threading.Lock()
        self._floor_at_s = clock.monotonic_s()

    @property
    def state(self) -> CaptureState:
        """The last stored state."""
        return self._state

    def change(self, apply: Callable[[CaptureState], CaptureState]) -> CaptureState:
        """Replace the state and return when it is stored. Raises LogError; the state then is as it was."""
        with self._lock:
            wanted = apply(self._state)
            if wanted != self._state:
                self._store.append(wanted)
                self._state = wanted
            return self._state

    def write_floor(self, change_log: ChangeLog) -> None:
        """Store the floor when it moved, and every 10 s when it did not (the heartbeat)."""
        floor = change_log.floor()
        now_s = self._clock.monotonic_s()
        with self._lock:
            is_new = floor is not None and floor != self._state.floor
            if not is_new and now_s - self._floor_at_s < _IDLE_S:
                return
            wanted = replace(self._state, floor=floor) if floor is not None else self._state
            self._store.append(wanted)
            self._state = wanted
            self._floor_at_s = now_s
        metrics.FLOOR_WRITES.inc()

    def run_floor(self, change_log: ChangeLog, stop: threading.Event) -> None:
        """Write the floor, at most every 200 ms, until `stop`."""
        while not stop.wait(_MOVING_S):
            self.write_floor(change_log)
