"""Reconcilers over a cluster in memory, by name: a fresh one, and one whose node stands as its row says."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.builders import node_row_of
from tests.unit.reconciler.member import Member


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as made:
        yield made


@pytest.fixture
def member(pool: ThreadPoolExecutor) -> Member:
    return Member(pool)


@pytest.fixture
def settled(member: Member) -> Member:
    """A node that stands as its row says, all ready."""
    member.offer(100, node_row_of())
    member.settle()
    return member
