"""A form, or a mapping, that capture hears of before the reconcilers do: its rows wait for it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.e2e.stage import ONE_SERVICE, Stage
from tests.fault.stream import RUNS
from tests.product import RECONCILERS, eventually

pytestmark = [pytest.mark.stack, pytest.mark.fault]
UIDS = tuple(f"row-{i}" for i in range(6))


@pytest.fixture(scope="class")
def flavour() -> str:
    """What a database server says has no part in it."""
    return "mysql"


@contextmanager
def asleep(stage: Stage) -> Iterator[None]:
    """All reconcilers are stopped, for less than it takes to be missed."""
    for name in RECONCILERS:
        stage.product.send(name, signal.SIGSTOP)
    try:
        yield
    finally:
        for name in RECONCILERS:
            stage.product.send(name, signal.SIGCONT)


class TestNewForm:
    """Reconcilers sleep while a form is made and its rows are published; both reach them at once when they wake."""

    RESOURCES = ONE_SERVICE

    def test_every_row_has_its_node(self, stage: Stage) -> None:
        stage.insert(*UIDS)
        for number in range(3 * RUNS):
            form = f"late-{number}"
            service = {**ONE_SERVICE["services"][0], "nameTemplate": f"{{{{ .uid }}}}-{form}"}
            with asleep(stage):
                before = len(stage.published())
                stage.apply_form(form, {"services": [service]})
                eventually(lambda b=before: len(stage.published()) >= b + len(UIDS), "all rows are published", 4.0)  # type: ignore[misc]  # a lambda's parameter has no type
            for uid in UIDS:
                stage.await_settled(uid, form=form)


class TestNewMapping:
    """Reconcilers sleep while the hub maps another column and the rows are published for it."""

    RESOURCES = ONE_SERVICE

    def test_every_row_shows_the_column_that_is_mapped_now(self, stage: Stage) -> None:
        stage.insert(*UIDS)
        stage.sql("UPDATE nodes SET blue_version = 'of-blue', green_version = 'of-green'")
        for number in range(4 * RUNS):
            color = ("green", "blue")[number % 2]
            with asleep(stage):
                before = len(stage.published())
                stage.map_column("blueVersion", f"{color}_version")
                eventually(lambda b=before: len(stage.published()) >= b + len(UIDS), "all rows are published", 4.0)  # type: ignore[misc]  # a lambda's parameter has no type

            def shown() -> set[str]:
                return {stage.get("Service", f"{uid}-front")["metadata"]["labels"]["version"] for uid in UIDS}

            eventually(lambda c=color: shown() == {f"of-{c}"}, f"{color}'s version", shown=shown)  # type: ignore[misc]  # a lambda's parameter has no type
