"""The writer's protocol under random histories: writers overlap, pause and die, batches are late, the database fails.

What has to be true of each, once everything has come to rest: every row that a consumer shows is the table's, none was
ever shown in an older state behind a newer one, each writer's records lie in version order. And each rule of the
protocol is needed: without it, some history goes wrong.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from cdc.core import protocol, records
from cdc.core.identity import Answer, Known, ServerFacts, Start, decide
from cdc.core.inflight import Ledger
from cdc.core.records import Origin
from cdc.core.resume import Remembered
from cdc.core.transaction import Change, Transaction
from shared.model.position import CaptureState, Position, settle
from shared.model.version import KIND_CHANGE, Version
from tests.unit.cdc.model_schedule import Schedule
from tests.unit.cdc.model_writer import Writer

RUNS = 1_000 * int(os.environ.get("ROWPLANE_FAULT_RUNS") or 1)
"""Histories for each of the two seeds."""
MUTANT_RUNS = 6_000
"""So many histories at most until a rule that is broken has to be noticed."""


def first_failure(name: str, runs: int, **settings: Any) -> str:
    """The first history that goes wrong, and how; empty when none does."""
    for number in range(runs):
        seed = f"{name}-{number}"
        found = Schedule(seed, **settings).run()
        if found:
            return f"history {seed}: {found}"
    return ""


@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("name", ["fixed", f"random-{random.SystemRandom().randrange(10**9)}"], ids=["fixed", "random"])
def test_nothing_is_lost_and_nothing_steps_back(name: str) -> None:
    print(f"seed {name}, {RUNS} histories")
    assert first_failure(name, RUNS) == ""


# -- every rule is needed ------------------------------------------------------------------------------------------

Break = Callable[[pytest.MonkeyPatch], dict[str, Any]]
"""Breaks a rule; settings of the schedule."""


def nothing_is_remembered(patch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the topics hold is published again."""
    patch.setattr(Remembered, "holds", lambda *_: False)
    return {}


def the_ends_are_hardly_read(patch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The first record at or below the floor is taken for the end of what matters."""
    return {"depth_records": 0}


def the_floor_is_what_was_sent(patch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The floor moves when records are handed over."""

    def add(self: Ledger[Position], position: Position, records: int) -> int:
        index = honest(self, position, records)
        self.floor = position
        return index

    honest = Ledger.add
    patch.setattr(Ledger, "add", add)
    return {}


def the_floor_passes_holes(patch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The floor moves to whatever was acknowledged last."""

    def ack(self: Ledger[Position], index: int) -> bool:
        position = self._positions[index - self._first] if index >= self._first else None
        moved = honest(self, index)
        if position is not None:
            self.floor = position
        return moved

    honest = Ledger.ack
    patch.setattr(Ledger, "ack", ack)
    return {}


def epochs_do_not_count(patch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The last record of the state topic holds, whoever wrote it, and nobody asks whether it was he."""

    async def confirm(log: protocol.StateLog, ours: CaptureState) -> CaptureState:
        return list(await log.load())[-1]

    def last(states: Sequence[CaptureState]) -> CaptureState | None:
        return states[-1] if states else None

    patch.setattr(protocol, "confirm", confirm)
    patch.setattr(protocol, "settle", last)
    return {}


def claims_take_over_nothing(patch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A claim holds with what its claimant had read before."""
    patch.setattr(protocol, "settle", lambda states: settle([_as_written(state) for state in states]))
    return {}


def _as_written(state: CaptureState) -> CaptureState:
    return CaptureState.decode(state.encode().replace(b'"claim":true', b'"claim":false'))


def records_are_given_up(patch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The client gives a record up after a time; what it has sent behind it is stored."""
    return {"timeouts": 0.02}


def incarnations_begin_unstored(patch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The first records of an incarnation do not wait for its state."""

    async def renew(self: Writer, apply: protocol.Apply, position: Position) -> CaptureState:
        self.state = apply(self.state)
        self.appends.append([self.state, False])
        self.ledger.add(position, 0)
        return self.state

    patch.setattr(Writer, "renew", renew)
    return _not_confirmed_behind(patch, renew)


def incarnations_are_not_confirmed(patch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The state of an incarnation is stored; whether it counts is not asked."""
    return _not_confirmed_behind(patch, Writer.renew)


def _not_confirmed_behind(patch: pytest.MonkeyPatch, renew: Callable[..., Any]) -> dict[str, Any]:
    unasked: set[str] = set()

    async def noted(self: Writer, apply: protocol.Apply, position: Position) -> Any:
        unasked.add(self.name)
        return await renew(self, apply, position)

    async def confirm(log: protocol.StateLog, ours: CaptureState) -> CaptureState:
        if ours.nonce in unasked and not ours.is_claim:
            unasked.discard(ours.nonce)
            return ours
        return await honest(log, ours)

    honest = protocol.confirm
    patch.setattr(Writer, "renew", noted)
    patch.setattr(protocol, "confirm", confirm)
    return {}


def versions_have_no_ordinal(patch: pytest.MonkeyPatch) -> dict[str, Any]:
    """All rows of a transaction have one version."""

    def change_version(origin: Origin, transaction: Transaction, change: Change) -> Version:
        return honest(origin, transaction, change)._replace(a=0)

    honest = records.change_version
    patch.setattr(records, "change_version", change_version)
    patch.setattr(protocol, "change_version", change_version)
    return {}


def versions_have_no_kind(patch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Rows that were read are numbered among the changes of the last transaction."""
    honest = records.read_version
    patch.setattr(records, "read_version", lambda *args: honest(*args)._replace(kind=KIND_CHANGE, a=0, b=0))
    return {}


def failovers_set_no_mark(patch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What earlier writers append after the ends were read is as new as ever."""
    honest = Writer.publish

    async def publish(self: Writer, out: Sequence[records.Record], position: Position) -> None:
        await honest(self, [record for record in out if record.key is not None], position)

    patch.setattr(Writer, "publish", publish)
    return {}


def rows_are_read_at_once(patch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Rows are published although earlier writers may have come further."""
    honest = protocol.catch_up

    async def catch_up(*args: Any) -> tuple[Remembered, tuple[int, int]]:
        return (await honest(*args))[0], (0, 0)

    patch.setattr(protocol, "catch_up", catch_up)
    return {}


def the_server_is_not_looked_at_again(patch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What was located is trusted once the connection stands."""

    def once(known: Known, facts: ServerFacts, *accepted: Any) -> Start:
        if accepted:
            return decide(known, facts, *accepted)
        assert known.floor is not None
        return Start(Answer.GO_ON, known.floor)

    patch.setattr(protocol, "decide", once)
    return {}


def news_of_a_new_server_is_skipped(patch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What was published counts as there, though the new server did not have it."""
    patch.setattr("cdc.core.resume._has", lambda *_: True)
    return {}


RULES: tuple[Break, ...] = (
    nothing_is_remembered,
    the_ends_are_hardly_read,
    the_floor_is_what_was_sent,
    the_floor_passes_holes,
    epochs_do_not_count,
    claims_take_over_nothing,
    records_are_given_up,
    incarnations_begin_unstored,
    incarnations_are_not_confirmed,
    versions_have_no_ordinal,
    versions_have_no_kind,
    failovers_set_no_mark,
    rows_are_read_at_once,
    the_server_is_not_looked_at_again,
    news_of_a_new_server_is_skipped,
)


@pytest.mark.parametrize("broken", RULES, ids=lambda rule: rule.__name__)
def test_every_rule_is_needed(broken: Break, monkeypatch: pytest.MonkeyPatch) -> None:
    found = first_failure("mutant", MUTANT_RUNS, **broken(monkeypatch))
    print(found)
    assert found
