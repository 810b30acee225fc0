"""Which tables a server's capture reads, and for whom: hubs and forms become table specifications.

Hubs of one table share one topic and one uid column (the oldest hub's); the published columns are the union of their
mappings. Marks tell who has had all rows published: a mark that is new means publish the table again.
Fed by: the control thread, with hubs that passed the preflight. Feeds: the pipeline, the state record.
Never: looks at a server.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from shared.model.form import Form
from shared.model.hub import Hub, MysqlSource
from shared.model.position import Publish, TableId, TableState

__all__ = ["ANNOTATION_RESYNC", "Plan", "TableSpec", "by_age", "next_state", "plan_tables", "table_of"]

ANNOTATION_RESYNC = "lynq.sh/resync-requested"

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


@dataclass(frozen=True, slots=True)
class Plan:
    """All tables of a server, and the hubs that cannot join."""

    tables: Mapping[TableId, TableSpec] = field(default_factory=dict)
    refused: Mapping[HubKey, str] = field(default_factory=dict)
    """Hub to the reason, in words with a mend."""


def table_of(source: MysqlSource) -> TableId:
    """The table that a hub names."""
    return TableId(source.database, source.table)


def by_age(hubs: Iterable[Hub]) -> list[Hub]:
    """Oldest first; name decides between equals."""
    return sorted(hubs, key=lambda hub: (hub.metadata.creation_timestamp, hub.key))


def plan_tables(hubs: Iterable[Hub], forms: Iterable[Form], prefix: str) -> Plan:
    """The plan for hubs of one server."""
    forms_of: dict[HubKey, list[str]] = {}
    for form in forms:
        forms_of.setdefault((form.metadata.namespace, form.spec.hub_id), []).append(form.metadata.uid)
    groups: dict[TableId, list[Hub]] = {}
    refused: dict[HubKey, str] = {}
    for hub in by_age(hubs):
        source = hub.spec.source.mysql
        if source is None:
            continue
        group = groups.setdefault(table_of(source), [])
        uid_column = hub.spec.value_mappings.uid
        if group and group[0].spec.value_mappings.uid != uid_column:
            first = group[0]
            refused[hub.key] = (
                f"hub maps uid to column {uid_column}, hub {'/'.join(first.key)} maps it to"
                f" {first.spec.value_mappings.uid} on the same table. Use one uid column per table"
            )
            continue
        group.append(hub)
    return Plan({table: _spec(table, group, forms_of, prefix) for table, group in groups.items()}, refused)


def _spec(table: TableId, hubs: list[Hub], forms_of: Mapping[HubKey, list[str]], prefix: str) -> TableSpec:
    marks: list[str] = []
    for hub in hubs:
        marks.append(f"hub:{hub.metadata.uid}:{_mapping_hash(hub)}")
        marks += [f"form:{uid}:{hub.metadata.uid}" for uid in forms_of.get(hub.key, ())]
        wish = hub.metadata.annotations.get(ANNOTATION_RESYNC)
        if wish:
            marks.append(f"resync:{hub.metadata.uid}:{wish}")
    return TableSpec(
        id=table,
        topic=hubs[0].topic(prefix),
        uid_column=hubs[0].spec.value_mappings.uid,
        columns=tuple(sorted({column for hub in hubs for column in hub.columns()})),
        hubs=tuple(hub.key for hub in hubs),
        readers=tuple(sorted(marks)),
    )


def _mapping_hash(hub: Hub) -> str:
    mapping = [hub.spec.value_mappings.model_dump(), hub.spec.extra_value_mappings]
    return f"{zlib.crc32(json.dumps(mapping, sort_keys=True).encode()):08x}"


def next_state(spec: TableSpec, known: TableState | None, partitions: int) -> TableState:
    """The table's state under `spec`: publish again when a reader is new or the columns differ, else as it was."""
    reason = _publish_reason(spec, known)
    if known is not None and not reason:
        publish, reason, deletes = known.publish, known.reason, known.deletes
    else:
        publish, deletes = Publish.RUNNING, known is not None
    return TableState(
        topic=spec.topic,
        partitions=partitions,
        uid_column=spec.uid_column,
        columns=spec.columns,
        readers=spec.readers,
        publish=publish,
        reason=reason,
        deletes=deletes,
    )


def _publish_reason(spec: TableSpec, known: TableState | None) -> str:
    if known is None:
        return "table is new"
    if known.topic != spec.topic or known.uid_column != spec.uid_column:
        return "uid column changed"
    if known.columns != spec.columns:
        return "columns changed"
    new = sorted(set(spec.readers) - set(known.readers))
    return f"{new[0].partition(':')[0]} is new" if new else ""
