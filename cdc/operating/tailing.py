"""`rowplane tail`: changes as they come, until it is interrupted.

Fed by: commands.py. Feeds: the terminal, or the next program of a pipe. Never: changes anything, or joins a group.
"""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Sequence
from datetime import datetime
from itertools import groupby
from typing import Final

from rich.console import Console
from rich.text import Text

from cdc.operating.adapters.cluster import Cluster
from cdc.operating.adapters.tailing import batches
from cdc.operating.changes import Told, Verb, told
from cdc.operating.options import Format
from cdc.operating.output import count, out, print_line, tell
from shared.errors import UsageError
from shared.model.version import KIND_READ, Version
from shared.settings import load_kafka

__all__ = ["tail"]

_STYLES: Final = {
    Verb.INSERT: "green",
    Verb.UPDATE: "yellow",
    Verb.DELETE: "red",
    Verb.READ: "cyan",
    Verb.DEAD: "bold red",
    Verb.CONTROL: "magenta",
    Verb.UNREADABLE: "bold red",
}


def tail(hub: str, topic: str, output: Format, *, from_beginning: bool) -> None:
    """Returns when interrupted, or when nobody reads any more. Raises UsageError, InvalidError, LogError."""
    if hub and topic:
        raise UsageError("--hub and --topic are both given", mend="Give one of them")
    kafka = load_kafka()
    topics = (topic,) if topic else (Cluster.connect().one(hub).topic(kafka.topic_prefix),)
    try:
        for number, records in enumerate(batches(kafka, topics, from_beginning=from_beginning)):
            if number == 0:
                tell("note", f"following {', '.join(topics)}; Ctrl-C ends it")
            _print(sorted((told(record) for record in records), key=_order), output)
            if not _is_read():
                return
    except KeyboardInterrupt:
        return
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is buffered finds no reader either


def _is_read() -> bool:
    """Whether a pipe that is printed to still has a reader; without a change nothing would tell."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return not any(event & select.POLLERR for _, event in poll.poll(0))


def _order(found: Told) -> tuple[Version, int]:
    """Within what has come at once, as it happened."""
    return found.version or Version(0, 0, 0, 0, 0, 0), found.record.offset


def _print(found: Sequence[Told], output: Format) -> None:
    if output is not Format.TEXT:
        for one in found:
            print_line(one.data(), output)
        return
    console = out()
    for _, group in groupby(found, key=_kind):
        alike = list(group)
        _tell(console, alike[0], marks=len(alike))
    sys.stdout.flush()


def _kind(one: Told) -> object:
    """Marks of one reason stand in every partition: they are told together, all else alone."""
    return one.reason if one.verb is Verb.CONTROL else (one.record.partition, one.record.offset)


def _tell(console: Console, one: Told, marks: int) -> None:
    time = datetime.fromtimestamp(one.time_ms / 1000).astimezone()
    clock = f"{time:%H:%M:%S}.{one.time_ms % 1000:03d}"
    place = f"partition {one.record.partition}, offset {one.record.offset}"
    what = Text.assemble((clock, "dim"), "  ", (f"{one.verb:<7} ", _STYLES[one.verb]), (_printable(one.uid), "bold"))
    if one.reason:
        what.append(f"{' ' if one.uid else ''}{_printable(one.reason)}")
    if one.verb is Verb.UNREADABLE:
        what.append(f" ({place})")
    if one.verb is Verb.CONTROL:
        what.append(f"  in {count(marks, 'partition')}", "dim")
    if one.is_bulk:
        what.append("  bulk", "dim")
    console.print(what)
    columns = one.columns()
    width = max((len(name) for name, _, _ in columns), default=0)
    for name, before, after in columns:
        arrow = (f"{before} ", "") if before else ("", "")
        console.print(
            Text.assemble("              ", (f"{name:<{width}}  ", ""), arrow, ("→ " if before else ""), after)
        )
    if one.version is not None and one.verb is not Verb.CONTROL:
        console.print(Text(f"              {_origin(one, one.version)}", style="dim"))


def _origin(one: Told, version: Version) -> str:
    """Version in short, and the transaction."""
    short = ".".join(str(number) for number in version)
    gtid = one.envelope.source.gtid if one.envelope else ""
    how = "by a read" if version.kind == KIND_READ else gtid
    return f"{short}  {how}".rstrip()


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
