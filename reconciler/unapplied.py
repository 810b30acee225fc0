"""Changes that were seen and are not applied yet: how old the oldest of a hub is, and how long each stage took.

A node is in here from the first record that it has not applied until a run leaves nothing of it to be written or held
back; newer rows that come meanwhile do not make it younger. It leaves, too, when a person has to decide, or another
row has to come.
Fed by: loop.py (records), reconcile.py (runs). Feeds: /metrics. Never: decides anything; compares two machines' clocks
but for the stages that say so.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from reconciler.core.catalog import NodeKey
from shared.clock import Clock
from shared.model.version import Version

__all__ = ["Unapplied"]

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
_LABELS = ("hub", "namespace")


@dataclass(slots=True)
class _Change:
    """What a node has not applied."""

    hub: str
    version: Version
    """The newest row that it waits for."""
    since_s: float
    """Monotonic seconds at which the oldest change, by the database's clock, was committed."""
    captured_s: float | None = None
    """Monotonic seconds of the capture of the newest row, by capture's clock; None: not to be timed."""
    seen_s: float = 0.0
    """Monotonic seconds at which the newest row was read."""
    taken_s: float | None = None
    """Monotonic seconds of the first run for it."""
    is_written: bool = False


class Unapplied(Collector):
    """Thread-safe; a collector of the registry that it is made with."""

    def __init__(self, clock: Clock, registry: CollectorRegistry) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._changes: dict[NodeKey, _Change] = {}
        self.hubs: Callable[[], Iterable[tuple[str, str]]] = tuple
        """(namespace, name) of the hubs that exist: each has a series, also when nothing waits."""
        self._stages = Histogram(
            "rowplane_commit_to_applied_seconds",
            "Time of a row change by stage: `record` from its capture to it being read here (clocks of two machines), "
            "`queue` until a worker takes the node, `render`, `write` until all is written that need not wait, `total` "
            "from its capture until nothing of it is held back (clocks of two machines).",
            ["stage"],
            buckets=_BUCKETS,
            registry=registry,
        )
        registry.register(self)

    # -- what happens to a change --------------------------------------------------------------------------------

    def seen(self, key: NodeKey, hub: str, version: Version, commit_ms: int, captured_ms: int) -> None:
        """A record with a newer row was read; times in ms since 1970, 0 when unknown or not to be timed."""
        now_s, wall_s = self._clock.monotonic_s(), self._clock.wall_s()
        since_s = min(now_s, now_s - wall_s + commit_ms / 1000) if commit_ms else now_s
        captured_s = now_s - wall_s + captured_ms / 1000 if captured_ms else None
        with self._lock:
            known = self._changes.get(key)
            if known is not None and known.version >= version:
                return
            since_s = known.since_s if known is not None else since_s
            self._changes[key] = _Change(hub, version, since_s, captured_s, now_s)
        if captured_s is not None:
            self._stages.labels("record").observe(max(0.0, now_s - captured_s))

    def taken(self, key: NodeKey) -> None:
        """A run for the node begins."""
        with self._lock:
            change = self._changes.get(key)
            if change is None or change.taken_s is not None:
                return
            change.taken_s = self._clock.monotonic_s()
            waited_s = change.taken_s - change.seen_s if change.captured_s is not None else None
        if waited_s is not None:
            self._stages.labels("queue").observe(waited_s)

    def rendered(self, took_s: float) -> None:
        """A node was rendered."""
        self._stages.labels("render").observe(took_s)

    def written(self, key: NodeKey, hub: str, version: Version, *, done: bool) -> None:
        """A run has written all that it could for a row of this version; `done`: nothing was held back."""
        now_s = self._clock.monotonic_s()
        with self._lock:
            change = self._changes.get(key)
            if change is None:
                if not done:
                    self._changes[key] = _Change(hub, version, now_s, is_written=True)
                return
            if change.version > version:
                return
            is_first, change.is_written = not change.is_written, True
            if done:
                del self._changes[key]
        if change.captured_s is None:
            return
        if is_first and change.taken_s is not None:
            self._stages.labels("write").observe(now_s - change.taken_s)
        if done:
            self._stages.labels("total").observe(max(0.0, now_s - change.captured_s))

    def gone(self, key: NodeKey) -> None:
        """The node is another member's, or waits for a person or for another row."""
        with self._lock:
            self._changes.pop(key, None)

    # -- what a scrape shows -------------------------------------------------------------------------------------

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """The families without samples."""
        yield GaugeMetricFamily(
            "rowplane_oldest_unapplied_change_seconds",
            "Age of the hub's oldest change that is not applied completely; 0 when there is none. It grows while the "
            "change waits, whatever it waits for but a person's approval. By the database's clock when it was read.",
            labels=_LABELS,
        )
        yield GaugeMetricFamily(
            "rowplane_unapplied_changes", "Nodes of the hub that have a change which is not applied.", labels=_LABELS
        )

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """One series a hub that exists, or that a node waits for."""
        now_s = self._clock.monotonic_s()
        ages: dict[tuple[str, str], float] = dict.fromkeys(self.hubs(), 0.0)
        counts: dict[tuple[str, str], int] = dict.fromkeys(ages, 0)
        with self._lock:
            for key, change in self._changes.items():
                hub = key.namespace, change.hub
                ages[hub] = max(ages.get(hub, 0.0), now_s - change.since_s)
                counts[hub] = counts.get(hub, 0) + 1
        oldest, waiting = self.describe()
        for (namespace, name), age_s in sorted(ages.items()):
            oldest.add_metric((name, namespace), age_s)
            waiting.add_metric((name, namespace), counts[namespace, name])
        yield from (oldest, waiting)
