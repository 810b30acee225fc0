"""A form, or a mapping, that capture hears of before the reconcilers do: its rows wait for it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.e2e.stage import ONE_SERVICE, Stage
from tests.fault.stream import RUNS
from tests.product import RECONCILERS, eventually

pytestmark = [pytest.mark.stack, pytest.mark.fault, pytest.mark.timeout(120 + 60 * RUNS)]
UIDS = tuple(f"row-{i}" for i in range(6))
PUBLISHED_S = 30.0
"""Patience for what takes a second: after 6 s the group gives up reconcilers that sleep, which costs them a rejoin."""


@pytest.fixture(scope="class")
def flavour() -> str:
    """What a database server says has no part in it."""
    return "mysql"


@contextmanager
def asleep(stage: Stage) -> Iterator[None]:
    """All reconcilers are stopped."""
    for name in RECONCILERS:
        stage.product.send(name, signal.SIGSTOP)
    try:
        yield
    finally:
        for name in RECONCILERS:
            stage.product.send(name, signal.SIGCONT)


def row_records(stage: Stage) -> int:
    """How many records of rows the topic holds; marks have no key."""
    return sum(record.key is not None for record in stage.published())


def await_all_rows(stage: Stage, before: int) -> None:
    """Wait until every row has been published since there were so many records."""
    eventually(lambda: row_records(stage) >= before + len(UIDS), "all rows are published", PUBLISHED_S)


class TestNewForm:
    """Reconcilers sleep while a form is made and its rows are published; both reach them at once when they wake."""

    RESOURCES = ONE_SERVICE

    def test_every_row_has_its_node(self, stage: Stage) -> None:
        stage.insert(*UIDS)
        for number in range(3 * RUNS):
            form = f"late-{number}"
            service = {**ONE_SERVICE["services"][0], "nameTemplate": f"{{{{ .uid }}}}-{form}"}
            with asleep(stage):
                before = row_records(stage)
                stage.apply_form(form, {"services": [service]})
                await_all_rows(stage, before)
            for uid in UIDS:
                stage.await_settled(uid, form=form)


class TestNewMapping:
    """Reconcilers sleep while the hub maps another column and the rows are published for it."""

    RESOURCES = ONE_SERVICE

    def test_every_row_shows_the_column_that_is_mapped_now(self, stage: Stage) -> None:
        stage.insert(*UIDS)

        def shown() -> set[str]:
            return {stage.get("Service", f"{uid}-front")["metadata"]["labels"]["version"] for uid in UIDS}

        stage.sql("UPDATE nodes SET blue_version = 'of-blue', green_version = 'of-green'")
        eventually(lambda: shown() == {"of-blue"}, "the rows as they are before", shown=shown)
        for number in range(4 * RUNS):
            color = ("green", "blue")[number % 2]
            with asleep(stage):
                before = row_records(stage)
                stage.map_column("blueVersion", f"{color}_version")
                await_all_rows(stage, before)

            eventually(lambda c=color: shown() == {f"of-{c}"}, f"{color}'s version", shown=shown)  # type: ignore[misc]  # a lambda's parameter has no type
