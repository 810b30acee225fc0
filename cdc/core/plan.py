"""Which tables a server's capture reads, and for whom: hubs and forms become table specifications.

Hubs of one table share one topic and one uid column (the oldest hub's); the published columns are the union of their
mappings. Marks tell who has had all rows published: a mark that is new means publish the table again.
Fed by: the control thread, with hubs that passed the preflight. Feeds: the pipeline, the state record.
Never: looks at a server.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from cdc.core.advice import Fitness
from shared.errors import InvalidError
from shared.model.form import Form
from shared.model.hub import Hub, MysqlSource
from shared.model.names import ANNOTATION_RESYNC, ANNOTATION_RESYNC_ROWS, TABLE_PARTITIONS
from shared.model.position import EMPTIED, CaptureState, Mode, Publish, TableId, TableState

__all__ = [
    "ASKED",
    "Plan",
    "TableSpec",
    "anew_marks",
    "by_age",
    "followed_by",
    "hub_table",
    "in_mode",
    "modes",
    "newcomers",
    "next_state",
    "plan_tables",
    "reader_uids",
    "resync_mark",
    "table_of",
]

ASKED = "resync is new"
"""A hub asks for a comparison."""
_UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0}

HubKey = tuple[str, str]


@dataclass(frozen=True, slots=True)
class TableSpec:
    """One captured table."""

    id: TableId
    topic: str
    uid_column: str
    columns: tuple[str, ...]
    """Published columns, sorted."""
    hubs: tuple[HubKey, ...]
    """(namespace, name), oldest first."""
    readers: tuple[str, ...] = ()
    """Marks of who reads it, sorted."""
    sync_interval_s: float = 30.0
    """Shortest one of its hubs."""
    partitions: int = TABLE_PARTITIONS
    """Of the topic, if it is yet to be made: the oldest hub's wish."""
    picks: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """(mark, uids) of the readers that ask for some rows alone."""

    @property
    def bare(self) -> TableSpec:
        """What a reader of the table needs: that hubs come and go, or want it oftener, is nothing to it."""
        return replace(self, hubs=(), readers=(), sync_interval_s=0.0, partitions=TABLE_PARTITIONS, picks=())


@dataclass(frozen=True, slots=True)
class Plan:
    """All tables of a server, and the hubs that cannot join."""

    tables: Mapping[TableId, TableSpec] = field(default_factory=dict)
    refused: Mapping[HubKey, InvalidError] = field(default_factory=dict)

    @property
    def readers(self) -> tuple[str, ...]:
        """Marks of all that read any table."""
        return tuple(mark for spec in self.tables.values() for mark in spec.readers)


def table_of(source: MysqlSource) -> TableId:
    """The table that a hub names."""
    return TableId(source.database, source.table)


def followed_by(hub: Hub) -> TableId | None:
    """The table, or the Debezium topic in its place, whose rows the hub wants; None when it names none."""
    if hub.source_topic:
        return TableId("debezium", hub.source_topic)
    source = hub.spec.source
    return table_of(source.mysql) if source.mysql and source.type == "mysql" else None


def by_age(hubs: Iterable[Hub]) -> list[Hub]:
    """Oldest first; name decides between equals."""
    return sorted(hubs, key=lambda hub: (hub.metadata.creation_timestamp, hub.key))


def plan_tables(hubs: Iterable[Hub], forms: Iterable[Form], prefix: str) -> Plan:
    """The plan for hubs of one server."""
    forms_of: dict[HubKey, list[str]] = {}
    for form in forms:
        forms_of.setdefault((form.metadata.namespace, form.spec.hub_id), []).append(form.metadata.uid)
    groups: dict[TableId, list[Hub]] = {}
    refused: dict[HubKey, InvalidError] = {}
    for hub in by_age(hubs):
        table = followed_by(hub)
        if table is None:
            continue
        group = groups.setdefault(table, [])
        uid_column = hub.spec.value_mappings.uid
        if group and group[0].spec.value_mappings.uid != uid_column:
            first = group[0]
            refused[hub.key] = InvalidError(
                f"hub maps uid to column {uid_column}, hub {'/'.join(first.key)} maps it to"
                f" {first.spec.value_mappings.uid} on the same table",
                mend="Use one uid column per table",
                reason="MappingRefused",
            )
            continue
        group.append(hub)
    return Plan({table: _spec(table, group, forms_of, prefix) for table, group in groups.items()}, refused)


def _spec(table: TableId, hubs: list[Hub], forms_of: Mapping[HubKey, list[str]], prefix: str) -> TableSpec:
    marks: list[str] = []
    for hub in hubs:
        marks.append(f"hub:{hub.metadata.uid}:{hub.mapping_digest}")
        marks += [f"form:{uid}:{hub.metadata.uid}" for uid in forms_of.get(hub.key, ())]
        if wish := resync_mark(hub):
            marks.append(wish)
    return TableSpec(
        id=table,
        topic=hubs[0].topic(prefix),
        uid_column=hubs[0].spec.value_mappings.uid,
        partitions=hubs[0].partitions or TABLE_PARTITIONS,
        columns=tuple(sorted({column for hub in hubs for column in hub.columns()})),
        hubs=tuple(hub.key for hub in hubs),
        readers=tuple(sorted(marks)),
        sync_interval_s=min(_seconds(hub.spec.source.sync_interval) for hub in hubs),
        picks=tuple((resync_mark(hub), uids) for hub in hubs if (uids := _picked(hub)) is not None),
    )


def _picked(hub: Hub) -> tuple[str, ...] | None:
    """The uids that the hub's request names; None when it asks for something else, or cannot be read."""
    wish = hub.metadata.annotations.get(ANNOTATION_RESYNC, "")
    try:
        uids = json.loads(hub.metadata.annotations.get(ANNOTATION_RESYNC_ROWS, ""))
    except ValueError:
        return None
    is_list = isinstance(uids, list) and all(isinstance(uid, str) for uid in uids)
    return tuple(uids) if is_list and wish.startswith("rows/") else None


def _seconds(duration: str) -> float:
    return float(duration[:-1]) * _UNITS_S[duration[-1]]


def next_state(spec: TableSpec, known: TableState | None, partitions: int, topic_id: str = "") -> TableState:
    """The table's state under `spec`: read again when a reader is new or the columns or the topic differ.

    A reason that lets an empty read delete stays until that read is done, whatever else asks for one meanwhile.
    """
    if known is None:
        return TableState(
            topic=spec.topic,
            partitions=partitions,
            uid_column=spec.uid_column,
            columns=spec.columns,
            readers=spec.readers,
            publish=Publish.RUNNING,
            reason="table is new",
            topic_id=topic_id,
        )
    picks = sorted({mark for mark, _ in spec.picks} - set(known.readers))
    spec = replace(spec, readers=tuple(mark for mark in spec.readers if mark not in picks))
    current = replace(
        known,
        topic=spec.topic,
        partitions=partitions,
        uid_column=spec.uid_column,
        columns=spec.columns,
        readers=spec.readers,
        topic_id=topic_id or known.topic_id,
    )
    reason, is_full = _why_read(spec, known, topic_id)
    if not reason and picks and known.publish is Publish.DONE:  # one after the other, when nothing else is to be done
        readers = tuple(sorted((*spec.readers, picks[0])))
        return replace(
            current, readers=readers, publish=Publish.ROWS, reason="some rows are asked for", picked=picks[0]
        )
    if not reason:
        return current
    is_full = is_full or known.publish in (Publish.RUNNING, Publish.ROWS)
    publish = Publish.RUNNING if is_full else Publish.DIFF
    return replace(current, publish=publish, reason=known.kept_reason(reason), deletes=True, cursor="")


def _why_read(spec: TableSpec, known: TableState, topic_id: str) -> tuple[str, bool]:
    """(reason, whether all rows must be published); empty when the table need not be read."""
    if known.topic != spec.topic or known.uid_column != spec.uid_column:
        return "uid column changed", True
    if known.columns != spec.columns:
        return "columns changed", True
    if topic_id and known.topic_id and topic_id != known.topic_id:
        return "topic was made anew", True
    new = sorted(set(spec.readers) - set(known.readers))
    if not new:
        return "", False
    kinds = {mark: _wish_of(mark).partition("/")[0] for mark in new if mark.startswith("resync:")}
    rest = [mark for mark in new if kinds.get(mark) not in ("diff", "empty", "anew")]
    if "empty" in kinds.values():
        return EMPTIED, bool(rest)
    return (f"{rest[0].partition(':')[0]} is new", True) if rest else (ASKED, False)


def _wish_of(mark: str) -> str:
    return mark.split(":", 2)[2]


def anew_marks(readers: Iterable[str]) -> tuple[str, ...]:
    """Those that ask for a new incarnation of the server."""
    return tuple(mark for mark in readers if mark.startswith("resync:") and _wish_of(mark).startswith("anew/"))


def hub_table(hub: Hub) -> TableId | None:
    """The table that the hub reads; None when its rows come from a topic."""
    return table_of(hub.spec.source.mysql) if hub.spec.source.mysql else None


def newcomers(state: CaptureState, plan: Plan, hubs: Iterable[Hub]) -> list[Hub]:
    """Hubs of the plan that read none of the server's tables so far: LynqNodes of theirs hold rows of another one."""
    known = {uid for table in state.tables.values() for uid in reader_uids(table.readers)}
    joined = {key for spec in plan.tables.values() for key in spec.hubs}
    return [hub for hub in hubs if hub.key in joined and hub.metadata.uid not in known]


def reader_uids(readers: Iterable[str]) -> tuple[str, ...]:
    """The hubs and forms among the marks of who reads a table, by uid."""
    named = (mark.split(":") for mark in readers)
    return tuple(sorted({parts[1] for parts in named if parts[0] in ("hub", "form")}))


def resync_mark(hub: Hub) -> str:
    """The mark of a hub's resync request; empty without one.

    `diff/<id>` asks for a comparison, `anew/<id>` for one in a new incarnation that begins at the log's present end,
    `empty/<id>` for one that deletes even when it finds no row, `rows/<id>` for the
    rows that another annotation names, others for all rows.
    """
    wish = hub.metadata.annotations.get(ANNOTATION_RESYNC)
    return f"resync:{hub.metadata.uid}:{wish}" if wish else ""


def modes(plan: Plan, fitness: Mapping[HubKey, Fitness]) -> tuple[dict[TableId, Mode], HubKey | None]:
    """How each table is followed, and the hub whose login streams: the first one that may.

    One login is enough for all tables of a server; what none can have streamed is polled whoever reads it.
    """
    found = [(key, fitness[key]) for spec in plan.tables.values() for key in spec.hubs if key in fitness]
    streamer = next((key for key, fit in found if fit.obstacle is None), None)
    unfit = {
        table
        for table, spec in plan.tables.items()
        if any(fitness[key].is_poll_only for key in spec.hubs if key in fitness)
    }
    polled = {table for table in plan.tables if streamer is None or table in unfit}
    return {table: Mode.POLL if table in polled else Mode.STREAM for table in plan.tables}, streamer


def in_mode(state: CaptureState, table: TableId, mode: Mode, known: TableState | None, in_topic: int) -> CaptureState:
    """The state with the table, which was `known` before, followed in that mode.

    A change of mode is a new incarnation of the server: polled rows carry no position, and after polling the log must
    not be told from where it was left. `in_topic` is the highest incarnation in the topic of a table that is new.
    """
    changed = state.with_table(table, replace(state.tables[table], mode=mode))
    if known is not None and known.mode is mode:
        return changed
    if known is None and (mode is Mode.STREAM or in_topic < state.incarnation):
        return changed
    reason = f"{table} is {'polled' if mode is Mode.POLL else 'streamed'} from now on"
    if known is not None:
        changed = changed.republish({table: reason}, deletes=True)
    return replace(changed, incarnation=max(state.incarnation, in_topic) + 1, anew=reason)
