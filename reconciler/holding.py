"""Records that wait until this process knows whom they are for.

Capture hears of a new hub or form and publishes all rows for it; it may do so before the form has reached the view
here. The control record before these rows names the uids of their readers: while one of them is not in the view, the
partition's records are kept back, in order and not committed.
Fed by: the loop. Feeds: the loop. Never: waits for ever: a form may have been deleted again, or be unreadable.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import structlog

from reconciler.ports import Partition, Record
from reconciler.view import CatalogView
from shared.model.names import HEADER_READERS

__all__ = ["Holding", "named_readers"]

log = structlog.get_logger(__name__)

_PATIENCE_S: Final = 10.0
_MOST: Final = 50_000
"""Records that are kept back at most, in all partitions."""


def named_readers(record: Record) -> list[str]:
    """Uids of the hubs and forms that a control record names."""
    named = record.headers.get(HEADER_READERS, b"") if record.key is None else b""
    return named.decode("utf-8", "replace").split(",") if named else []


class Holding:
    """Belongs to the loop's thread."""

    def __init__(self) -> None:
        self._records: dict[Partition, list[Record]] = {}
        self._until_s: dict[Partition, float] = {}
        self._missing: dict[Partition, frozenset[str]] = {}
        self._given_up: set[str] = set()
        """Uids that were waited for in vain."""
        self._known: tuple[CatalogView | None, frozenset[str]] = None, frozenset()

    def __bool__(self) -> bool:
        """Whether anything is kept back."""
        return bool(self._records)

    def keeps(self, record: Record, view: CatalogView, now_s: float) -> bool:
        """Whether the record is kept back: its partition is, or it names readers that the view does not know."""
        partition = record.partition
        kept = self._records.get(partition)
        if kept is not None:
            kept.append(record)
            return True
        missing = self._unknown(named_readers(record), view)
        if not missing:
            return False
        self._records[partition] = [record]
        self._until_s[partition], self._missing[partition] = now_s + _PATIENCE_S, missing
        return True

    def released(self, view: CatalogView, now_s: float) -> list[Record]:
        """The records of partitions whose readers are known by now, or have been waited for long enough."""
        found: list[Record] = []
        is_full = sum(len(records) for records in self._records.values()) > _MOST
        for partition in list(self._records):
            missing = self._unknown(self._missing[partition], view)
            if missing and now_s < self._until_s[partition] and not is_full:
                continue
            if missing:
                log.warning(
                    "rows are for a hub or form that is not known here, they are not held any longer; if it turns up,"
                    " all rows are asked for",
                    topic=partition.topic, partition=partition.number, uids=sorted(missing),
                )  # fmt: skip
                self._given_up |= missing
            found += self._records[partition]
            self.drop([partition])
        return found

    def drop(self, partitions: Iterable[Partition]) -> None:
        """These partitions are not ours any more."""
        for partition in partitions:
            for store in (self._records, self._until_s, self._missing):
                store.pop(partition, None)

    def _unknown(self, uids: Iterable[str], view: CatalogView) -> frozenset[str]:
        if self._known[0] is not view:
            hubs = {hub.metadata.uid for hub in view.catalog.hubs.values()}
            self._known = view, frozenset(hubs | {form.metadata.uid for form in view.catalog.forms.values()})
        return frozenset(uids) - self._known[1] - self._given_up
