"""Sets of transactions in the notation of either server; values, without a server behind them.

Fed by: what servers say, the state topic, transactions that pass. Feeds: positions and the decision where to start.
Never: talks to a server.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, Self

from shared.errors import InvalidError

__all__ = ["Flavour", "Gtids", "MariadbGtids", "MysqlGtids", "parse_gtids"]


class Flavour(StrEnum):
    """Which GTIDs the server speaks."""

    MYSQL = "mysql"
    MARIADB = "mariadb"


class Gtids(Protocol):
    """A set of transactions, immutable."""

    def add(self, gtid: str) -> Self:
        """The set with one transaction more; an empty text adds nothing. Raises InvalidError."""
        ...

    def extended(self, gtids: Iterable[str]) -> Self:
        """The set with these transactions more. Raises InvalidError."""
        ...

    def contains(self, other: Self) -> bool:
        """Whether every transaction of `other` is in this set."""
        ...

    def text(self) -> str:
        """The server's own notation."""
        ...


_Intervals = tuple[tuple[int, int], ...]
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def _merge(intervals: Iterable[tuple[int, int]]) -> _Intervals:
    merged: list[tuple[int, int]] = []
    for first, last in sorted(intervals):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return tuple(merged)


def _interval(token: str) -> tuple[int, int] | None:
    first, dash, last = token.partition("-")
    if not first.isdigit() or (dash and not last.isdigit()):
        return None
    return int(first), int(last or first)


@dataclass(frozen=True, slots=True)
class MysqlGtids:
    """`uuid:1-3:7,uuid:tag:1-2` (MySQL manual, "GTID Sets"); tags exist since MySQL 8.3."""

    intervals: Mapping[str, _Intervals] = field(default_factory=dict)
    """`uuid` or `uuid:tag` to closed intervals, ascending and apart."""

    @classmethod
    def parse(cls, text: str) -> MysqlGtids:
        """Raises InvalidError."""
        found: dict[str, list[tuple[int, int]]] = {}
        for part in re.sub(r"\s", "", text).lower().split(","):
            if not part:
                continue
            uuid, *tokens = part.split(":")
            if not _UUID.fullmatch(uuid) or not tokens:
                raise InvalidError(f"GTID set {part[:80]!r} is not uuid:interval")
            source = uuid
            for token in tokens:
                interval = _interval(token)
                if interval is None:
                    source = f"{uuid}:{token}"
                else:
                    found.setdefault(source, []).append(interval)
        return cls({source: _merge(intervals) for source, intervals in found.items()})

    def add(self, gtid: str) -> MysqlGtids:
        """The set with one transaction more; an empty text adds nothing. Raises InvalidError."""
        return self.extended((gtid,))

    def extended(self, gtids: Iterable[str]) -> MysqlGtids:
        """The set with these transactions more. Raises InvalidError."""
        intervals = dict(self.intervals)
        source, first, last = "", 1, 0
        expected = ""
        for gtid in gtids:
            if gtid != expected:  # mostly the next one of the same server
                if not gtid:
                    continue
                intervals[source] = _merge((*intervals.get(source, ()), (first, last)))
                source, _, number_text = gtid.lower().rpartition(":")
                if not number_text.isdigit():
                    raise InvalidError(f"GTID {gtid[:80]!r} is not uuid:number")
                first = last = int(number_text)
            else:
                last += 1
            expected = f"{source}:{last + 1}"
        intervals[source] = _merge((*intervals.get(source, ()), (first, last)))
        del intervals[""]
        return MysqlGtids(intervals)

    def contains(self, other: MysqlGtids) -> bool:
        """Whether every transaction of `other` is in this set."""
        return all(
            any(mine[0] <= first and last <= mine[1] for mine in self.intervals.get(source, ()))
            for source, theirs in other.intervals.items()
            for first, last in theirs
        )

    def overlaps(self, other: MysqlGtids) -> bool:
        """Whether any transaction is in both sets."""
        return any(
            first <= mine[1] and mine[0] <= last
            for source, theirs in other.intervals.items()
            for first, last in theirs
            for mine in self.intervals.get(source, ())
        )

    def has_tags(self) -> bool:
        """Whether any GTID carries a tag."""
        return any(":" in source for source in self.intervals)

    def text(self) -> str:
        """The server's own notation, sources in order."""
        return ",".join(
            f"{source}:" + ":".join(f"{a}-{b}" if a != b else f"{a}" for a, b in self.intervals[source])
            for source in sorted(self.intervals)
        )


@dataclass(frozen=True, slots=True)
class MariadbGtids:
    """`domain-server-sequence,…`: the last transaction of each domain (MariaDB manual, "Global Transaction ID")."""

    last: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    """Domain to (server id, sequence)."""

    @classmethod
    def parse(cls, text: str) -> MariadbGtids:
        """Raises InvalidError."""
        return cls().extended(re.sub(r"\s", "", text).split(","))

    def add(self, gtid: str) -> MariadbGtids:
        """The set with one transaction more; an empty text adds nothing. Raises InvalidError."""
        return self.extended((gtid,))

    def extended(self, gtids: Iterable[str]) -> MariadbGtids:
        """The set with these transactions more. Raises InvalidError."""
        last = dict(self.last)
        for gtid in gtids:
            if not gtid:
                continue
            parts = gtid.split("-")
            if len(parts) != 3 or not all(p.isdigit() for p in parts):
                raise InvalidError(f"GTID {gtid[:80]!r} is not domain-server-sequence")
            domain, server, sequence = (int(p) for p in parts)
            if sequence >= last.get(domain, (0, 0))[1]:
                last[domain] = (server, sequence)
        return MariadbGtids(last)

    def contains(self, other: MariadbGtids) -> bool:
        """Per domain: our sequence is not lower."""
        return all(
            domain in self.last and sequence <= self.last[domain][1] for domain, (_, sequence) in other.last.items()
        )

    def text(self) -> str:
        """The server's own notation, domains in order."""
        return ",".join(f"{domain}-{server}-{sequence}" for domain, (server, sequence) in sorted(self.last.items()))


def parse_gtids(flavour: Flavour, text: str) -> MysqlGtids | MariadbGtids:
    """The set in the server's notation. Raises InvalidError."""
    return MysqlGtids.parse(text) if flavour is Flavour.MYSQL else MariadbGtids.parse(text)
