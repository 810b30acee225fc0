"""Labels, annotations, headers, managers and topic names: every name that two sides must spell alike.

Fed by: nothing. Feeds: capture, reconciler, CLI, tests. Never: decides anything.
"""

from __future__ import annotations

import re
import zlib
from typing import Final

GROUP: Final = "operator.lynq.sh"
API_VERSION: Final = f"{GROUP}/v1"

FIELD_MANAGER: Final = "lynq-operator"
"""Lynq's own manager, so that objects adopted from it stay ours."""
HANDOVER_MANAGER: Final = "rowplane-handover"
"""Owns ignored fields that nobody else does, with the value that they had."""
CAPTURE_MANAGER: Final = "rowplane-cdc"
COORDINATOR_MANAGER: Final = "rowplane-coordinator"
DELETION_MANAGER: Final = "rowplane-deletions"
"""Of approvals and of the condition DeletionHeld."""
VALIDATION_MANAGER: Final = "rowplane-validation"
"""Tells whether a form can be used; every reconciler does, in the same words."""

# Labels and annotations of Lynq.
LABEL_HUB: Final = "lynq.sh/hub"
LABEL_UID: Final = "lynq.sh/uid"
LABEL_NODE: Final = "lynq.sh/node"
LABEL_NODE_NAMESPACE: Final = "lynq.sh/node-namespace"
ANNOTATION_HOST_OR_URL: Final = "lynq.sh/hostOrUrl"
ANNOTATION_ACTIVATE: Final = "lynq.sh/activate"
ANNOTATION_EXTRA: Final = "lynq.sh/extra"
ANNOTATION_HUB_ID: Final = "lynq.sh/hubId"
ANNOTATION_TEMPLATE_GENERATION: Final = "lynq.sh/template-generation"
ANNOTATION_DELETION_POLICY: Final = "lynq.sh/deletion-policy"
ANNOTATION_APPLIED_HASH: Final = "lynq.sh/applied-hash"
ANNOTATION_ONCE: Final = "lynq.sh/created-once"
LYNQ_LEASE: Final = "f2130106.lynq.sh"
"""Name of the Lease of Lynq's own operator."""
HUB_FINALIZER: Final = "lynq.sh/hub-finalizer"
NODE_FINALIZER: Final = "lynqnode.operator.lynq.sh/finalizer"

# Labels and annotations of rowplane.
LABEL_FORM: Final = "lynq.sh/form"
"""On a ControllerRevision: whose spec it holds; a name that is too long for a label is shortened."""
LABEL_SHARD: Final = "lynq.sh/shard"
LABEL_DELETE_REQUESTED: Final = "lynq.sh/delete-requested"
"""On a LynqNode whose row is gone or inactive; the annotation of the same name says why."""
ANNOTATION_ROW_VERSION: Final = "lynq.sh/row-version"
ANNOTATION_FENCED: Final = "lynq.sh/fenced"
"""On an object that was written though nothing differed: the resourceVersion that no late write can match any more."""
ANNOTATION_SOURCE_POSITION: Final = "lynq.sh/source-position"
ANNOTATION_POSITION_ACCEPTED: Final = "lynq.sh/position-accepted"
"""On a hub: the uuid of the database server that a person has accepted in place of the one that was followed."""
ANNOTATION_RESYNC: Final = "lynq.sh/resync-requested"
"""On a hub: `diff/<id>` asks for a comparison of its table, `empty/<id>` for one that is believed when it finds no row,
`full/<id>` for all rows, `rows/<id>` for some of them."""
ANNOTATION_RESYNC_ROWS: Final = "lynq.sh/resync-rows"
"""On a hub: the uids that `rows/<id>` asks for, a JSON list of texts."""
ANNOTATION_DEAD_LETTER: Final = "lynq.sh/dead-letter"
"""On a LynqNode: why its row's last change could not be published; gone with the next one that is."""
ANNOTATION_PAUSED: Final = "lynq.sh/paused"
"""`true` on hub, form or LynqNode: nothing below it is written."""
ANNOTATION_DRY_RUN: Final = "lynq.sh/dry-run"
"""`true` on a form: what its nodes would write is told, and not written."""
ANNOTATION_APPROVED: Final = "lynq.sh/approved"
"""On a LynqNode: the row version whose deletion may go on. On a hub or form: releases what is held below it."""
ANNOTATION_REMOVAL_REQUESTED: Final = "lynq.sh/removal-requested"
"""On a LynqNode: form and row name some of its objects no more; what the approval has to say."""
ANNOTATION_SWITCH_NOW: Final = "lynq.sh/switch-now"
"""On a LynqNode: the row version whose routes move without waiting for pods."""

# Record headers.
HEADER_VERSION: Final = "rowplane-version"
HEADER_BULK: Final = "rowplane-bulk"
HEADER_DEAD: Final = "rowplane-dead"
HEADER_CONTROL: Final = "rowplane-control"
HEADER_READERS: Final = "rowplane-readers"
"""On a control record before all rows: the uids of the hubs and forms that the rows are for, with commas."""

TABLE_PARTITIONS: Final = 8
"""Of a change topic, unless the hub asks for another number."""
POSITION_SUFFIX: Final = "position"
DEAD_SUFFIX: Final = "dead"
_DEBEZIUM: Final = "debezium"

_ILLEGAL = re.compile(r"[^A-Za-z0-9-]")
_TOPIC_MAX_LENGTH = 249


def server_id_of(host: str, port: int) -> str:
    """The server's name in topics and state: lower-case `host:port`."""
    return f"{host.lower()}:{port}"


def _escape(part: str) -> str:
    """Topic characters and `_` stay, the rest becomes `_x<hex>_`; what reads like that is escaped: no names meet."""
    kept = re.sub(r"_(?=x[0-9a-f]+[^A-Za-z0-9-])", "_x5f_", part)
    return _ILLEGAL.sub(lambda m: m[0] if m[0] == "_" else f"_x{ord(m[0]):x}_", kept)


def table_topic(prefix: str, server_id: str, database: str, table: str) -> str:
    """`<prefix>.<server id>.<db>.<table>`, escaped to Kafka's `[A-Za-z0-9._-]`, at most 249 characters.

    Dots inside the host are kept (they are legal and end at the escaped `:` of the port); dots inside the database
    or table name are escaped, so that the last two dots always separate database and table.
    """
    host, _, port = server_id.rpartition(":")
    server = ".".join(_escape(label) for label in host.split(".")) + _escape(f":{port}")
    return _bounded(f"{prefix}.{server}.{_escape(database)}.{_escape(table)}")


def debezium_server_id(source_topic: str) -> str:
    """What stands for a database server where rows come from a Debezium topic: one `debezium/<topic>` each."""
    return f"{_DEBEZIUM}/{source_topic}"


def debezium_source(server_id: str) -> str:
    """Inverse of `debezium_server_id`; empty for the id of a database server, which has no slash."""
    kind, slash, topic = server_id.partition("/")
    return topic if slash and kind == _DEBEZIUM else ""


def debezium_topic(prefix: str, source_topic: str) -> str:
    """`<prefix>.debezium.<source topic>`, its dots escaped too: no table's topic is spelt so."""
    return _bounded(f"{prefix}.{_DEBEZIUM}.{_escape(source_topic)}")


def _bounded(topic: str) -> str:
    if len(topic) <= _TOPIC_MAX_LENGTH:
        return topic
    return f"{topic[: _TOPIC_MAX_LENGTH - 9]}-{zlib.crc32(topic.encode()):08x}"


def position_topic(prefix: str) -> str:
    """The compacted topic that holds each server's capture state."""
    return f"{prefix}.{POSITION_SUFFIX}"


def dead_topic(prefix: str) -> str:
    """The topic of rows that could not be published."""
    return f"{prefix}.{DEAD_SUFFIX}"


def partition_of(uid: str, count: int) -> int:
    """crc32 of the uid's UTF-8 bytes modulo `count`; computed here since client libraries disagree on partitioners."""
    return zlib.crc32(uid.encode("utf-8", "surrogatepass")) % count


def shard_label(topic: str, partition: int) -> str:
    """`<8 hex of the topic name>-<partition>`, the value of `lynq.sh/shard`."""
    return f"{zlib.crc32(topic.encode()):08x}-{partition}"


def node_name(uid: str, form: str) -> str:
    """`{uid}-{form}`, Lynq's name of a LynqNode."""
    return f"{uid}-{form}"
