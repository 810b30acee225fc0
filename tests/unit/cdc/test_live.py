"""Reading a table gives way to the stream: for a while where changes come one by one, for long where many wait."""

from __future__ import annotations

import pytest

from cdc.core.records import Origin
from cdc.core.transaction import Transaction, TransactionFold
from cdc.live import Assignment, Live
from cdc.ports import Login
from shared.model.position import Flavour
from tests.unit.cdc.fakes import ManualClock, position, transaction


def _transactions(count: int) -> list[Transaction]:
    fold = TransactionFold({})
    events = [event for number in range(1, count + 1) for event in transaction(number)]
    return [passed for event in events if (passed := fold.feed(event)) is not None]


@pytest.mark.parametrize(("together", "later_s", "rest_s"), [(1, 0.0, 0.5), (40, 0.0, 9.0), (40, 1.0, 0.5)])
def test_a_step_of_reading_is_followed_by_a_rest(
    monkeypatch: pytest.MonkeyPatch, together: int, later_s: float, rest_s: float
) -> None:
    clock = ManualClock()
    live = Live(clock)
    live.connected(
        Assignment(Login("db", 3306, "", ""), {}, {}), Origin("", Flavour.MYSQL, 1, 1), position(0), lambda: None
    )
    live.passed(_transactions(together), (), lambda _place: None)
    clock.now_s += later_s
    rests: list[float] = []
    monkeypatch.setattr(live.changed, "wait_for", lambda _predicate, timeout: rests.append(timeout))
    live.give_way(1.0, 0.5)
    assert rests == [rest_s]
