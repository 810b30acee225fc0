"""What the topics hold already: read back from their ends at a start, so that nothing is published twice.

In each partition every writer appends in version order without holes. So within one incarnation whatever is not above
the highest version of a partition is in it, and a consumer that has read that far would drop a repeat. After a failover
the same transactions come again under other versions, and would look like news to a consumer that has seen later
ones: there they are recognised by their ids, in all that was published above the floor of the earlier incarnation.
What the new server did not have yet at the failover is not left out: it is news there, to rows read before it too.
Fed by: records, newest first, partition by partition. Feeds: the pipeline, which leaves out what is remembered.
Never: reads a topic itself.
"""

from __future__ import annotations

from typing import Final, TypeVar

from shared.model.gtid import MariadbGtids, MysqlGtids
from shared.model.position import Crossing, Position, file_number
from shared.model.version import KIND_CHANGE, Version

__all__ = ["DEPTH_RECORDS", "IN_FLIGHT_RECORDS", "Partition", "Remembered", "place_of"]

IN_FLIGHT_RECORDS: Final = 2_000
"""At most so many records has one writer on their way to Kafka: that many of an earlier writer can arrive late."""
DEPTH_RECORDS: Final = 2 * IN_FLIGHT_RECORDS
"""What two earlier writers can append out of turn. A third that is late at the same failover is not reckoned with."""
_STRAYS: Final = 3
"""Writers of a log before the floor's may go on until their Leases tell them: so many times `DEPTH_RECORDS`."""
_LOOK_RECORDS: Final = 100
"""Within one incarnation a highest version that is too low costs repeats, nothing else: a short look is enough."""

Partition = tuple[str, int]
"""(topic, number)."""

Gtids = TypeVar("Gtids", MysqlGtids, MariadbGtids)


def place_of(incarnation: int, position: Position) -> Version:
    """The highest version that a record of the position's transaction can have: what is above it is still to come."""
    return Version(incarnation, file_number(position.file), position.offset, 9, 0, 0)


class Remembered:
    """The ends of the partitions, as far as they matter to a stream that begins at the floor."""

    def __init__(self, incarnation: int, crossing: Crossing | None, depth_records: int) -> None:
        """`crossing` is that of the state; `depth_records` bounds what earlier writers can append out of turn."""
        self.partitions: set[Partition] = set()
        """Those whose ends have been read."""
        self._incarnation = incarnation
        self._crossing = crossing
        self._depth = depth_records
        self._seen: dict[Partition, int] = {}
        self._strays: dict[Partition, int] = {}
        self._highest: dict[Partition, Version] = {}
        self._last: Version | None = None
        self._transactions: dict[Partition, dict[str, tuple[int, int]]] = {}

    def take(self, partition: Partition, version: Version, gtid: str) -> bool:
        """The next older record of a partition; whether enough of it has been read.

        `gtid` is its transaction's, empty for rows that were read and for control records. Only GTIDs survive a
        failover: without them there is none.
        """
        if version.incarnation >= self._incarnation:
            self._highest[partition] = max(version, self._highest.get(partition, version))
            self._last = max(version, self._last or version)
        crossing = self._crossing
        if crossing is None:
            return _count(self._seen, partition) >= min(_LOOK_RECORDS, self._depth)
        if version.incarnation < crossing.place.incarnation:
            # of one who still follows the server before the one before: the floor's writer may be anywhere among these
            return _count(self._strays, partition) > _STRAYS * self._depth
        if version <= crossing.place:
            return _count(self._seen, partition) > self._depth
        is_earlier = version.incarnation < self._incarnation and version.kind == KIND_CHANGE
        if is_earlier and gtid and _has(crossing.executed, gtid):
            known = self._transactions.setdefault(partition, {})
            known[gtid] = max((version.a, version.b), known.get(gtid, (-1, 0)))
        return False

    def holds(self, partition: Partition, version: Version, gtid: str) -> bool:
        """Whether the change is in the partition, under this version or under one of an earlier incarnation."""
        highest = self._highest.get(partition)
        if highest is not None and version <= highest:
            return True
        known = self._transactions.get(partition)
        return known is not None and (version.a, version.b) <= known.get(gtid, (-1, 0))

    def is_below(self, version: Version) -> bool:
        """Whether no partition can hold a change of this version or a higher one."""
        return not self._transactions and (self._last is None or self._last < version)

    def union(self, none: Gtids) -> Gtids:
        """All transactions that are recognised by id, added to the empty set of the server's kind."""
        found = none
        for gtid in sorted({gtid for known in self._transactions.values() for gtid in known}, key=_number):
            found = found.add(gtid)
        return found


def _count(seen: dict[Partition, int], partition: Partition) -> int:
    """One more."""
    count = seen[partition] = seen.get(partition, 0) + 1
    return count


def _has(gtids: MysqlGtids | MariadbGtids, gtid: str) -> bool:
    if isinstance(gtids, MysqlGtids):
        return gtids.contains(MysqlGtids().add(gtid))
    return gtids.contains(MariadbGtids().add(gtid))


def _number(gtid: str) -> int:
    """The sequence in either notation: sets grow fastest in its order."""
    return int(gtid.replace(":", "-").rpartition("-")[2])
