"""`python -m tests.bench.held < sample.json`: bytes that a node, an object, a row cost in memory, each held by itself.

The sample is what the API server tells of a LynqNode and of one of its objects. Copies of them, with names and uids of
their own, go the way that a watch's events go; the growth of the process, by what is held, is the cost.
Fed by: footprint.py. Feeds: docs/scaling.md. Never: asks a server.
"""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from cdc.core.keymap import KeyMap, key_bytes
from reconciler.core.fleet import FleetNode, fleet_node
from reconciler.core.goal import RowState
from reconciler.core.record import observe_node
from reconciler.core.slim import slim
from reconciler.core.variables import node_row_of_annotations
from reconciler.ports import Partition
from reconciler.registry import Registry
from shared.model.version import Version

_COUNT: Final = 20_000
_ROWS: Final = 200_000
_PARTITION: Final = Partition("topic", 0)


def grown_bytes(count: int, hold: Callable[[int], object]) -> float:
    """Bytes by which this process grows for each of `count` calls, after as many that warm up a tenth."""
    for number in range(-count // 10, 0):
        hold(number)
    gc.collect()
    before = _resident()
    for number in range(count):
        hold(number)
    gc.collect()
    return (_resident() - before) / count


def _resident() -> int:
    text = Path("/proc/self/status").read_text(encoding="ascii")
    line = next(line for line in text.splitlines() if line.startswith("RssAnon:"))
    return int(line.split()[1]) * 1024


def _copy(text: str, uid: str, name: str, number: int) -> dict[str, Any]:
    """What a watch would decode of another node's object: no text is shared with the sample."""
    raw: dict[str, Any] = json.loads(text.replace(uid, f"x{number + 10_000_000}"))
    raw["metadata"]["uid"] = f"{number + 10_000_000:08x}{raw['metadata']['uid'][8:]}"
    raw["metadata"]["name"] = name.replace(uid, f"x{number + 10_000_000}")
    return raw


class Held:
    """The sample's copies."""

    def __init__(self, node: dict[str, Any], child: dict[str, Any]) -> None:
        self._node, self._child = json.dumps(node), json.dumps(child)
        self._uid = str(node["spec"]["uid"])
        self._names = str(node["metadata"]["name"]), str(child["metadata"]["name"])
        self._registry = Registry(lambda _key: None)
        self._known: dict[tuple[str, str], str] = {}
        self._fleet: dict[str, FleetNode] = {}
        self._map = KeyMap()

    def _told(self, text: str, name: str, number: int) -> dict[str, Any]:
        raw = _copy(text, self._uid, name, number)
        metadata = raw["metadata"]
        self._known[sys.intern(metadata["namespace"]), metadata["name"]] = metadata["uid"]
        return raw

    def node(self, number: int) -> None:
        """A LynqNode as its shard's reconciler holds it, its row as the log told it included."""
        seen = observe_node(self._told(self._node, self._names[0], number))
        self._registry.node_seen(seen, gone=False, partition=_PARTITION)
        version = seen.row_version or Version(1, 1, number, 0, 0, 0)
        row = RowState(node_row_of_annotations(seen.key.uid, seen.annotations), version, seen.source_position, 0)
        self._registry.offer_row(seen.key, row, _PARTITION, number)
        self._registry.take_offsets(self._registry.state(seen.key), self._registry.state(seen.key).row)

    def child(self, number: int) -> None:
        """One of its objects."""
        self._registry.object_seen(slim(self._told(self._child, self._names[1], number)), gone=False)

    def fleet(self, number: int) -> None:
        """The same LynqNode as the coordinator holds it, which holds all of them."""
        record = fleet_node(self._told(self._node, self._names[0], number + 10_000_000))
        self._fleet[record.name] = record

    def row(self, number: int) -> None:
        """A row as capture knows it."""
        self._map.put(key_bytes(f"tenant-{number:07d}"), number.to_bytes(16, "big", signed=True))


def main() -> None:
    """Read the sample, write what each costs."""
    sample = json.load(sys.stdin)
    held = Held(sample["node"], sample["child"])
    found = {
        "node": grown_bytes(_COUNT, held.node),
        "object": grown_bytes(_COUNT, held.child),
        "fleet": grown_bytes(_COUNT, held.fleet),
        "row": grown_bytes(_ROWS, held.row),
    }
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
