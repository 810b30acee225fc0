"""Part `footprint`: memory and processor time of each process, idle and busy, with one node and with thousands; what
the API server is asked when nothing happens; and how long commands take to begin.

A node here has eight ConfigMaps: what a reconciler holds of an object does not depend on what a controller of the
cluster makes of it, and two cores can hold twenty thousand of them.
Fed by: the stack. Feeds: results.json, docs/scaling.md. Never: asserts anything.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

from shared.kafka import connect_consumer, read_all
from shared.kube import NODES
from tests.bench.cluster_floors import CONFIG_MAPS, await_gone
from tests.bench.fleet_world import FULL, Fleet
from tests.bench.frame import Key, Lines, Part, Settings, Spec
from tests.bench.usage import Meter, memories, with_children
from tests.product import CAPTURE, RECONCILERS, Product, running

__all__ = ["SPEC"]

_OBJECTS: Final = 8
_FORM: Final[dict[str, Any]] = {
    "configMaps": [
        {"id": f"c{i}", "nameTemplate": f"{{{{ .uid }}}}-c{i}", "spec": {"data": {"version": "{{ .blueVersion }}"}}}
        for i in range(_OBJECTS)
    ]
}
_FILL_S: Final = 300.0
_REST_S: Final = 60.0
_BUSY_PER_S: Final = 10.0
_MODULES: Final = ("reconciler.app", "cdc.app", "cdc.supervisor", "shared.kube", "reconciler.webhook.app")
_COMMANDS: Final = ("--help", "--version", "reconcile --help", "capture --help", "validate --help", "status --help")
_IMPORT: Final = """
import json, sys, time
began_s = time.perf_counter()
__import__(sys.argv[1])
took_s = time.perf_counter() - began_s
line = next(line for line in open("/proc/self/status") if line.startswith("VmRSS:"))
print(json.dumps([1000 * took_s, int(line.split()[1]) / 1024]))
"""


def _processes(product: Product) -> dict[str, list[int]]:
    found = {name: [product.pid(name)] for name in RECONCILERS}
    return found | {CAPTURE: with_children(product.pid(CAPTURE))}


def _asked(product: Product) -> Counter[str]:
    """Verb → requests of all reconcilers to the API server so far; `update` and `get` of a Lease among them."""
    found: Counter[str] = Counter()
    for name in RECONCILERS:
        for sample in product.samples(name):
            if sample.name == "rowplane_api_requests_total":
                found[sample.labels["verb"]] += int(sample.value)
    return found


def _measure(part: Part, fleet: Fleet, seconds: int) -> None:
    """Idle, then busy."""
    nodes, product = len(fleet.full), fleet.product
    fleet.rest(_REST_S)
    asked, meter = _asked(product), Meter.start(_processes(product))
    time.sleep(seconds)
    minutes = (time.monotonic() - meter.began_s) / 60
    asked = _asked(product) - asked
    part.figure(f"idle.{nodes}.requests", asked.total() / minutes)
    for verb, count in sorted(asked.items()):
        part.figure(f"idle.{nodes}.requests.{verb}", count / minutes)
    _tell(part, f"idle.{nodes}", product, meter)
    meter = Meter.start(_processes(product))
    changes = _change(fleet, seconds)
    fleet.rest(_REST_S)
    part.figure(f"busy.{nodes}.changes_per_s", changes / seconds)
    for name, used_s in meter.used_s().items():
        part.figure(f"busy.{nodes}.cpu_ms.{name}", 1000 * used_s / changes)
    _tell(part, f"busy.{nodes}", product, meter)


def _tell(part: Part, key: str, product: Product, meter: Meter) -> None:
    minutes = (time.monotonic() - meter.began_s) / 60
    for name, used_s in meter.used_s().items():
        part.figure(f"{key}.cpu.{name}", used_s / minutes)
    for name, mib in memories(product, RECONCILERS).items():
        part.figure(f"{key}.rss.{name}", mib)
    for name, mib in memories(product, RECONCILERS, "VmHWM").items():
        part.figure(f"{key}.peak.{name}", mib)


def _change(fleet: Fleet, seconds: int) -> int:
    """Change one row after the other, each renders other objects; how many."""
    end_s, count = time.monotonic() + seconds, 0
    with fleet.connect() as connection, connection.cursor() as cursor:
        while time.monotonic() < end_s:
            uid = fleet.full[count % len(fleet.full)]
            cursor.execute("UPDATE nodes SET blue_version = %s WHERE node_id = %s", (f"c{count}", uid))
            count += 1
            time.sleep(1 / _BUSY_PER_S)
    return count


def _start_up(part: Part, repeats: int) -> None:
    """Imports and commands, each by a process of its own."""
    python = [sys.executable, "-c", _IMPORT]
    for module in _MODULES:
        found = [json.loads(subprocess.run([*python, module], capture_output=True, check=True).stdout)
                 for _ in range(repeats)]  # fmt: skip
        part.measured(f"import.{module.replace('.', '_')}.ms", [took_ms for took_ms, _ in found])
        part.figure(f"import.{module.replace('.', '_')}.rss", statistics.median(mib for _, mib in found))
    command = Path(sys.executable).with_name("rowplane")
    for words in _COMMANDS:
        took_ms = []
        for _ in range(repeats):
            began_s = time.perf_counter()
            subprocess.run([command, *words.split()], capture_output=True, check=True)
            took_ms.append(1000 * (time.perf_counter() - began_s))
        part.measured(f"command.{words.replace(' --help', '').replace('--', '')}", took_ms)


def _run(settings: Settings, part: Part) -> None:
    _start_up(part, part.size("starts", 7, 3))
    largest, seconds = part.size("nodes", 2_500, 60), part.size("seconds", 60, 10)
    with (
        running(settings.endpoints, settings.client, "bench-logs") as product,
        Fleet(settings.client, product, _FORM, live=0) as fleet,
    ):
        for name, mib in memories(product, RECONCILERS).items():
            part.figure(f"empty.rss.{name}", mib)
        for nodes in sorted({min(count, largest) for count in (1, 300, largest)}):
            began_s = time.monotonic()
            new, _ = fleet.grow(nodes, 0)
            goal = fleet.nodes.goal(fleet.lynqnodes(new), lambda seen: seen.settled)
            if not fleet.nodes.wait(goal, _FILL_S):
                part.skip(f"idle.{nodes}", f"{goal.total - len(goal.left)} new nodes were there after {_FILL_S:.0f} s")
                break
            part.figure(f"fill.{nodes}.objects_per_s", _OBJECTS * len(new) / (time.monotonic() - began_s))
            _measure(part, fleet, seconds)
        _one(part, fleet)
    await_gone(settings.client, product.namespace)


def _one(part: Part, fleet: Fleet) -> None:
    """What one node, object, row, record costs."""
    uid = fleet.full[0]
    node = fleet.client.get(NODES, fleet.namespace, f"{uid}-{FULL}")
    child = fleet.client.get(CONFIG_MAPS, fleet.namespace, f"{uid}-c0")
    sample = json.dumps({"node": node, "child": child}).encode()
    command = [sys.executable, "-m", "tests.bench.held"]
    found = json.loads(subprocess.run(command, input=sample, capture_output=True, check=True).stdout)
    for what, count_bytes in found.items():
        part.figure(f"held.{what}", count_bytes)
    part.figure("size.lynqnode", len(_compact(node)))
    part.figure("size.object", len(_compact(child)))
    sizes = _record_sizes(fleet)
    part.figure("size.record", statistics.fmean(sizes), samples=len(sizes))


def _compact(document: dict[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def _record_sizes(fleet: Fleet) -> list[int]:
    """Bytes of key, value and headers of every record in the fleet's topic."""
    consumer = connect_consumer(fleet.product.kafka)
    try:
        partitions = consumer.partitions_for_topic(fleet.topic) or set()
        return [
            len(record.key) + len(record.value) + sum(len(name) + len(value) for name, value in record.headers)
            for record in read_all(consumer, fleet.topic, sorted(partitions))
            if record.key is not None and record.value is not None
        ]
    finally:
        consumer.close()


_KEYS: Final = (
    Key("import.<module>.ms", "ms", "`import` of the module in a new interpreter, by its own clock."),
    Key("import.<module>.rss", "MiB", "Resident afterwards."),
    Key("command.<words>", "ms", "Wall time of `rowplane <words>`, of one without `--` its `--help`."),
    Key("empty.rss.<process>", "MiB", "Resident without any node; `capture` is the supervisor's child."),
    Key("fill.<nodes>.objects_per_s", "1/s", "New ConfigMaps a second, LynqNodes and statuses not counted."),
    Key("idle.<nodes>.requests", "1/min", "Requests of both reconcilers to the API server, Leases counted."),
    Key("idle.<nodes>.requests.<verb>", "1/min", "Those of one verb; `get` and `update` are of Leases."),
    Key("idle.<nodes>.cpu.<process>", "s/min", "Processor seconds a minute when nothing happens."),
    Key("idle.<nodes>.rss.<process>", "MiB", "Resident when nothing happens."),
    Key("idle.<nodes>.peak.<process>", "MiB", "Most that was ever resident by then."),
    Key("busy.<nodes>.changes_per_s", "1/s", "Row changes, each of which renders eight other ConfigMaps."),
    Key("busy.<nodes>.cpu.<process>", "s/min", "Processor seconds a minute under them."),
    Key("busy.<nodes>.cpu_ms.<process>", "ms", "Processor time for one change."),
    Key("busy.<nodes>.rss.<process>", "MiB", "Resident after them."),
    Key("busy.<nodes>.peak.<process>", "MiB", "Most that was ever resident by then."),
    Key("held.node", "B", "A LynqNode in its reconciler, measured by holding 20,000 of them."),
    Key("held.object", "B", "One of its ConfigMaps there."),
    Key("held.fleet", "B", "A LynqNode in the coordinator."),
    Key("held.row", "B", "A row in capture, of 200,000."),
    Key("size.record", "B", "Key, value and headers of a row's record in Kafka, on average."),
    Key("size.lynqnode", "B", "A LynqNode as JSON."),
    Key("size.object", "B", "One of its ConfigMaps as JSON."),
)
SPEC: Final = Spec(
    "footprint",
    "Memory, processor time and start-up",
    _KEYS,
    _run,
    (
        Lines(
            "footprint.png",
            "Resident memory by nodes of eight objects",
            "nodes",
            {"reconciler": "idle.<nodes>.rss.reconciler-1", "capture": "idle.<nodes>.rss.capture"},
        ),
    ),
    limit_s=1_200.0,
)
