"""What one step of the way takes by itself: rendering, planning, decoding, envelopes; processor time, one thread.

Each operation runs in batches that last some milliseconds; a batch's mean is one sample, and some batches warm up.
Fed by: the example's form, streams that real servers sent. Feeds: the catalog of parts. Never: asks a server.
"""

from __future__ import annotations

import itertools
import random
import statistics
import struct
import time
import zlib
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import Any, Final

from cdc.core.events import Event, Whole
from cdc.core.records import ChangeSite, Origin, change_record, change_version
from cdc.core.transaction import Change, Transaction
from deploy.stack.errors import StackError
from reconciler.core.next import next_step
from reconciler.core.objects import Desired, Look, Write
from reconciler.core.render import render_node
from reconciler.core.variables import node_row, variables_of
from shared.model.envelope import Op, decode, decode_key, encode_row
from shared.model.names import partition_of
from shared.model.position import Flavour
from shared.model.version import Version
from tests import builders
from tests.bench.frame import Bars, Key, Part, Settings, Side, Spec
from tests.bench.go_renderer import GoRenderer, program
from tests.bench.render import Engine, PythonRenderer, compiled, jinja2_form, rows_of
from tests.unit.cdc.binlog.corpus import recording
from tests.unit.cdc.fakes import SPEC as TABLE
from tests.unit.reconciler.core.forms import Row, desired_of
from tests.unit.reconciler.core.simulator import Cluster

_WARM_UP: Final = 5
_BATCH_S: Final = 0.02
_HEAD_EVENTS: Final = 2
"""The file's name and format, without which no event can be read."""
_TOGETHER: Final = 100
"""Transactions that are decoded by one call."""
_TRANSACTION_EVENTS: Final = 5
"""GTID, BEGIN, table map, rows, XID."""
_SETTLE_STEPS: Final = 50
_OURS: Final = "render.wall.rowplane"
_GO: Final = "render.wall.go_engine"
_GO_ROWS: Final = 200


def sampled(work: Callable[[], object], repeats: int) -> list[float]:
    """Microseconds of processor time of one call, by batches."""
    calls = 1
    while True:
        took_s = _batch(work, calls)
        if took_s >= _BATCH_S / 2:
            break
        calls *= 2
    calls = max(1, round(calls * _BATCH_S / took_s))
    for _ in range(_WARM_UP):
        _batch(work, calls)
    return [1e6 * _batch(work, calls) / calls for _ in range(repeats)]


def _batch(work: Callable[[], object], calls: int) -> float:
    begun_ns = time.process_time_ns()
    for _ in range(calls):
        work()
    return (time.process_time_ns() - begun_ns) / 1e9


def operations() -> dict[str, Callable[[], object]]:
    """Key → one call of it."""
    return {**_rendering(), **_planning(), **_decoding(), **_envelopes()}


def _rendering() -> Mapping[str, Callable[[], object]]:
    row = rows_of(0, 1)[0]
    version, hub, columns = builders.version(4), builders.example_hub(), builders.example_row()

    def variables() -> object:
        return variables_of(node_row(hub, columns), hub.metadata.name, builders.FORM)

    return {
        "render.go": partial(render_node, compiled(builders.example_form()), row.owner, row.variables, version),
        "render.jinja2": partial(render_node, compiled(jinja2_form()), row.owner, row.variables, version),
        "variables": variables,
    }


def _planning() -> Mapping[str, Callable[[], object]]:
    """The documentation's form, seven objects: nothing to do, and a row that has just switched the color."""
    blue = desired_of("seed", Row(idle=3), 100)
    green = desired_of("seed", Row(color="green", idle=3), 101)
    at_rest = _settled(blue)
    return {
        "plan.rest": partial(next_step, blue, at_rest.observed(blue), at_rest.now_s),
        "plan.switch": partial(next_step, green, at_rest.observed(green), at_rest.now_s),
    }


def _settled(desired: Desired) -> Cluster:
    """A cluster in which everything is applied and ready."""
    cluster = Cluster(random.Random(1))
    for number in range(_SETTLE_STEPS):
        step = next_step(desired, cluster.observed(desired), cluster.now_s)
        cluster.remember(desired, step)
        for action in step.writes:
            if isinstance(action, Look):
                cluster.look(action)
            elif isinstance(action, Write):
                cluster.write(action, builders.version(number + 1))
        for ref in list(cluster.live):
            cluster.tick(ref, 10)
        cluster.now_s += 1
        if not step.writes and not step.waits:
            return cluster
    raise RuntimeError("the simulated node does not come to rest")


def _decoding() -> Mapping[str, Callable[[], object]]:
    """Transactions of one row each, as MySQL sent the first of them, that came together."""
    stream = recording("mysql")
    decoder, (rotation, *rest) = stream.decoder("t"), stream.events[:_HEAD_EVENTS]
    for event in (rotation, *rest):
        list(decoder.decode(event, [(0, len(event))]))
    for start in range(_HEAD_EVENTS, len(stream.events) - _TRANSACTION_EVENTS):
        one = stream.events[start : start + _TRANSACTION_EVENTS]
        events = [_moved(event, 1000 + number) for number, event in enumerate(one * _TOGETHER)]
        ends = list(itertools.accumulate(map(len, events)))
        raw, spans = b"".join(events), list(zip([0, *ends], ends, strict=False))

        def work(raw: bytes = raw, spans: list[tuple[int, int]] = spans) -> list[Event]:
            list(decoder.decode(rotation, [(0, len(rotation))]))  # to a new file, so that places begin anew
            return list(decoder.decode(raw, spans))

        work()
        if len([e for e in work() if isinstance(e, Whole) and len(e.rows.images) == 1]) > _TOGETHER - 2:
            return {"decode.transaction": work}
    raise RuntimeError("the recorded stream has no transaction of one row")


def _moved(event: bytes, log_pos: int) -> bytes:
    """The event as it would stand at another place."""
    raw = event[:13] + struct.pack("<I", log_pos) + event[17:-4]
    return raw + struct.pack("<I", zlib.crc32(raw))


def _envelopes() -> Mapping[str, Callable[[], object]]:
    before = builders.example_row()
    after = builders.example_row(active_color="green")
    site = ChangeSite(Origin("db:3306", Flavour.MYSQL, 1, 1), replace(TABLE, uid_column="node_id"), 8)
    change = Change(TABLE.id, builders.UID, Op.UPDATE, before, after, 0, 0)
    transaction = Transaction(
        "19d69c1e-ae97-4b8c-a1ef-9e12ba966457:23", "binlog.000007", 4711, 5000, 1767225600, (change,)
    )

    def made() -> Any:
        version = change_version(site.origin, transaction, change)
        place = partition_of(change.uid, site.partitions), version
        rows = encode_row(before), encode_row(after)
        return change_record(site, transaction, change, place, rows, 1767225600123)

    record = made()
    text = record.headers[0][1].decode()

    def read() -> object:
        return decode_key(record.key), decode(record.value), Version.parse(text)

    return {"envelope.encode": made, "envelope.decode": read}


def run(_settings: Settings, part: Part) -> None:
    """All operations in turns, so that noise hits them alike."""
    repeats = part.size("repeats", full=60, quick=20)
    works = operations()
    rounds = max(1, repeats // 20)
    found: dict[str, list[float]] = {name: [] for name in works}
    with ExitStack() as stack:
        go = _go(stack, part)
        for _ in range(rounds):
            for name, work in works.items():
                each = _TOGETHER if name == "decode.transaction" else 1
                found[name] += [took / each for took in sampled(work, repeats // rounds)]
        if go is not None:
            found |= _walls({_OURS: PythonRenderer(compiled(builders.example_form())), _GO: go}, repeats)
    told = {name: part.measured(name, values) for name, values in found.items()}
    if _GO in told:
        part.figure("render.ratio", told[_OURS].p50 / told[_GO].p50, samples=repeats)


def _go(stack: ExitStack, part: Part) -> GoRenderer | None:
    try:
        return stack.enter_context(GoRenderer(program(), compiled(builders.example_form())))
    except StackError as error:
        part.skip(_GO, str(error))
        return None


def _walls(engines: Mapping[str, Engine], repeats: int) -> dict[str, list[float]]:
    """Engine → microseconds of one row by the wall clock, by batches, in turns; the first does not count."""
    found: dict[str, list[float]] = {name: [] for name in engines}
    for number in range(repeats + 1):
        batch = rows_of(number * _GO_ROWS, _GO_ROWS)
        for name, engine in engines.items():
            found[name].append(statistics.median(engine.render(batch).took_ns) / 1000)
    return {name: values[1:] for name, values in found.items()}


_LABELS: Final = {
    "render.go": "One row of the example rendered, typed and hashed, Go dialect: eight resources.",
    "render.jinja2": "The same form in the Jinja2 dialect.",
    "variables": "Template variables of one row.",
    "plan.rest": "`next` for a node of seven objects with nothing to do.",
    "plan.switch": "`next` for the same node when its row has switched the color.",
    "decode.transaction": "A binlog transaction of one row decoded, from GTID to XID; 100 of them come together.",
    "envelope.encode": "A change made a record: version, partition, key, envelope.",
    "envelope.decode": "The record read again by a reconciler: key, envelope, version.",
}

SPEC: Final = Spec(
    "micro",
    "What one step takes by itself",
    [
        *(Key(name, "us", meaning) for name, meaning in _LABELS.items()),
        Key(_OURS, "us", "One row of the example by the wall clock, Go dialect: medians of 200 rows."),
        Key(_GO, "us", "The same rows by Go's own text/template and Sprig, one thread, in turns with ours.", Side.PEER),
        Key("render.ratio", "x", "`render.wall.rowplane` ÷ `render.wall.go_engine`.", Side.RATIO),
    ],
    run,
    [Bars("micro.png", "Processor time of one step, median", {name: name for name in _LABELS})],
    limit_s=180.0,
)
