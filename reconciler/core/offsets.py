"""Where reading of a partition begins, and what the commit of an offset says besides the offset.

Fed by: the consumer group (committed offset and metadata, what the partition holds). Feeds: its adapter, loop.py.
Never: performs I/O.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, NamedTuple

from shared.errors import InvalidError
from shared.model.version import Version

__all__ = ["Found", "Start", "commit_text", "start_of"]

_READERS_MOST: Final = 300
"""Marks that a commit tells: a broker takes 4 KiB of metadata."""
_NOBODY: Final = "-"


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
    readers: frozenset[str] | None = None
    """Marks of the forms for which everything below `offset` was read; None: nobody has noted it."""


def start_of(found: Found, *, out_of_range: bool = False) -> Start:
    """Go on behind the committed offset, or begin anew where that means nothing any more.

    `out_of_range`: the broker has refused the offset that was to be read next. A group's first start loses nothing:
    capture has published every row when the topic was made, and does again when a topic is made anew.
    """
    highest, topic_id, readers = _parsed(found.metadata)
    if found.committed is None:
        return Start(found.begin, None, "the offset was refused" if out_of_range else "")
    if topic_id and found.topic_id and topic_id != found.topic_id:
        return Start(found.begin, None)
    if found.committed < found.begin:
        return Start(found.begin, highest, f"offsets {found.committed} to {found.begin - 1} have expired unread")
    if found.committed > found.end or out_of_range:
        return Start(found.begin, None, f"offset {found.committed} is not in the partition, which ends at {found.end}")
    return Start(found.committed, highest, readers=readers)


def commit_text(highest: Version | None, topic_id: str, readers: Collection[str] | None = None) -> str:
    """`<version> <topic id> <marks of readers>`; each may be missing."""
    is_told = readers is not None and len(readers) <= _READERS_MOST
    marks = ",".join(sorted(readers or ())) or _NOBODY
    return f"{highest.text() if highest else ''} {topic_id} {marks if is_told else ''}".rstrip()


def _parsed(metadata: str) -> tuple[Version | None, str, frozenset[str] | None]:
    """Anything that is not ours counts as nothing."""
    text, _, rest = metadata.partition(" ")
    topic_id, _, marks = rest.partition(" ")
    readers = frozenset(marks.split(",")) - {_NOBODY} if marks else None
    try:
        return (Version.parse(text) if text else None), topic_id, readers
    except InvalidError:
        return None, "", None
