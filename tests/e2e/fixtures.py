"""Fixtures of the end-to-end and fault tests: the flavour of the database, and a stage for each test class.

Fed by: the session's product. Feeds: tests/e2e, tests/fault. Never: starts a process.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from shared.kube import KubeClient
from tests.e2e.stage import FLAVOURS, Stage, make_world, open_stage
from tests.product import Product


@pytest.fixture(scope="class", params=FLAVOURS)
def flavour(request: pytest.FixtureRequest) -> str:
    """Each kind of database server in turn."""
    return str(request.param)


@pytest.fixture(scope="class")
def stage(request: pytest.FixtureRequest, product: Product, client: KubeClient, flavour: str) -> Iterator[Stage]:
    """A stage for the class; its attributes `RESOURCES` and `ROWS` choose a form and rows that are there before."""
    cls = request.cls
    name = cls.__name__.removeprefix("Test").lower()
    world = make_world(product, client, name, flavour, getattr(cls, "RESOURCES", None))
    with open_stage(product, world, flavour, getattr(cls, "ROWS", "")) as stage:
        yield stage
