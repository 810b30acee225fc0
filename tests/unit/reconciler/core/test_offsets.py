"""Where reading begins: what was committed, what is still kept, whether it is the same topic."""

from __future__ import annotations

import pytest

from reconciler.core.offsets import Found, Start, commit_text, start_of
from shared.model.version import Version
from tests.builders import version

KNOWN = commit_text(version(500), "id-1")


@pytest.mark.parametrize(
    ("found", "start"),
    [
        pytest.param(Found(0, 9, "id-1", None), Start(0, None), id="first start"),
        pytest.param(Found(4, 9, "id-1", None), Start(4, None), id="first start, some has expired"),
        pytest.param(Found(0, 9, "id-1", 5, KNOWN), Start(5, version(500)), id="goes on"),
        pytest.param(Found(5, 5, "id-1", 5, KNOWN), Start(5, version(500)), id="all read, all expired"),
        pytest.param(Found(0, 9, "id-2", 5, KNOWN), Start(0, None), id="another topic of that name"),
        pytest.param(Found(0, 3, "id-2", 5, KNOWN), Start(0, None), id="another topic, shorter"),
        pytest.param(Found(0, 9, "", 5, KNOWN), Start(5, version(500)), id="no ids now"),
        pytest.param(Found(0, 9, "id-1", 5, commit_text(version(500), "")), Start(5, version(500)), id="no id then"),
        pytest.param(Found(0, 9, "id-1", 5, "nonsense"), Start(5, None), id="somebody else's metadata"),
        pytest.param(Found(0, 9, "id-1", 5, ""), Start(5, None), id="no metadata"),
        pytest.param(
            Found(0, 9, "id-1", 5, commit_text(version(500), "id-1", {"b", "a"})),
            Start(5, version(500), readers=frozenset("ab")),
            id="read for two forms",
        ),
        pytest.param(
            Found(0, 9, "id-1", 5, commit_text(None, "id-1", ())), Start(5, None, readers=frozenset()), id="for none"
        ),
        pytest.param(
            Found(0, 9, "", 5, commit_text(version(500), "", {"a"})),
            Start(5, version(500), readers=frozenset("a")),
            id="for one, and no ids",
        ),
        pytest.param(Found(0, 9, "id-2", 5, commit_text(None, "id-1", {"a"})), Start(0, None), id="of another topic"),
    ],
)
def test_nothing_is_lost(found: Found, start: Start) -> None:
    assert start_of(found) == start


@pytest.mark.parametrize(
    ("found", "highest"),
    [
        pytest.param(Found(6, 9, "id-1", 5, KNOWN), version(500), id="expired unread"),
        pytest.param(Found(0, 4, "id-1", 5, KNOWN), None, id="the end was lost"),
    ],
)
def test_what_is_lost_begins_anew_and_says_so(found: Found, highest: Version | None) -> None:
    start = start_of(found)
    assert (start.offset, start.highest) == (found.begin, highest)
    assert start.lost


@pytest.mark.parametrize("committed", [None, 5])
def test_a_refused_offset_is_lost_whatever_was_committed(committed: int | None) -> None:
    start = start_of(Found(0, 9, "id-1", committed, KNOWN), out_of_range=True)
    assert (start.offset, start.highest) == (0, None)
    assert start.lost


@pytest.mark.parametrize("highest", [None, version(7)])
@pytest.mark.parametrize("topic_id", ["", "id-1"])
def test_what_a_commit_says_is_read_again(highest: Version | None, topic_id: str) -> None:
    assert start_of(Found(0, 9, topic_id, 5, commit_text(highest, topic_id))) == Start(5, highest)


def test_readers_that_no_broker_would_store_are_left_out() -> None:
    """A broker refuses a commit with more than 4 KiB of metadata, and with it every commit."""
    many = {f"{number:08x}" for number in range(301)}
    assert commit_text(version(500), "id-1", many) == commit_text(version(500), "id-1")
    assert len(commit_text(version(500), "x" * 22, set(sorted(many)[:300]))) < 4096
