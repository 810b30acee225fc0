"""Where reading of a partition begins, and what the commit of an offset says besides the offset.

Fed by: the consumer group (committed offset and metadata, what the partition holds). Feeds: its adapter, loop.py.
Never: performs I/O.
"""

from __future__ import annotations

from typing import NamedTuple

from shared.errors import InvalidError
from shared.model.version import Version

__all__ = ["Found", "Start", "commit_text", "start_of"]


class Found(NamedTuple):
    """A partition at its assignment."""

    begin: int
    """First offset that is still kept."""
    end: int
    topic_id: str
    """Kafka's id of the topic; empty where brokers give none."""
    committed: int | None
    """None: the group has never committed here."""
    metadata: str = ""
    """As `commit_text` made it."""


class Start(NamedTuple):
    """What follows from it."""

    offset: int
    highest: Version | None
    """Highest version below `offset`; records that are not above it repeat."""
    lost: str = ""
    """Why changes may be missing, so that all rows are to be published again; empty when none is."""


def start_of(found: Found, *, out_of_range: bool = False) -> Start:
    """Go on behind the committed offset, or begin anew where that means nothing any more.

    `out_of_range`: the broker has refused the offset that was to be read next. A group's first start loses nothing:
    capture has published every row when the topic was made, and does again when a topic is made anew.
    """
    highest, topic_id = _parsed(found.metadata)
    if found.committed is None:
        return Start(found.begin, None, "the offset was refused" if out_of_range else "")
    if topic_id and found.topic_id and topic_id != found.topic_id:
        return Start(found.begin, None)
    if found.committed < found.begin:
        return Start(found.begin, highest, f"offsets {found.committed} to {found.begin - 1} have expired unread")
    if found.committed > found.end or out_of_range:
        return Start(found.begin, None, f"offset {found.committed} is not in the partition, which ends at {found.end}")
    return Start(found.committed, highest)


def commit_text(highest: Version | None, topic_id: str) -> str:
    """`<version> <topic id>`; either may be missing."""
    return f"{highest.text() if highest else ''} {topic_id}".rstrip()


def _parsed(metadata: str) -> tuple[Version | None, str]:
    """Anything that is not ours counts as nothing."""
    text, _, topic_id = metadata.partition(" ")
    try:
        return (Version.parse(text) if text else None), topic_id
    except InvalidError:
        return None, ""
