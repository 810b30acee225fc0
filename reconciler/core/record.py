"""The LynqNode as the record of a node: row, version, inventory; and the labels that lead back to it.

Fed by: rows and rendered objects. Feeds: the applier; read back by a reconciler that takes over. Never: holds rendered
manifests.
"""

from __future__ import annotations

import re
import sys
import zlib
from collections.abc import ItemsView, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from reconciler.core.catalog import NodeKey
from reconciler.core.deletion import Cause, cause_of
from reconciler.core.objects import ObjectRef, ref_of
from reconciler.core.variables import NodeRow
from shared.model.names import (
    ANNOTATION_APPROVED,
    ANNOTATION_DEAD_LETTER,
    ANNOTATION_HUB_ID,
    ANNOTATION_REMOVAL_REQUESTED,
    ANNOTATION_ROW_VERSION,
    ANNOTATION_SOURCE_POSITION,
    ANNOTATION_TEMPLATE_GENERATION,
    API_VERSION,
    LABEL_DELETE_REQUESTED,
    LABEL_HUB,
    LABEL_NODE,
    LABEL_NODE_NAMESPACE,
    LABEL_SHARD,
    LABEL_UID,
    NODE_FINALIZER,
)
from shared.model.version import Version

__all__ = [
    "Inventory",
    "NodeRecord",
    "ObservedNode",
    "annotation_bytes",
    "hub_name",
    "label_value",
    "observe_node",
    "says",
    "tracking_labels",
]

Inventory = tuple[tuple[str, ObjectRef], ...]
_LABEL = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_HEAD = re.compile(r"[^-A-Za-z0-9_.]")


def label_value(text: str) -> str:
    """A legal label value: the text itself, or its head and a checksum when it is too long or has other characters."""
    if not text or _LABEL.fullmatch(text):
        return text
    head = _HEAD.sub("_", text[:54]).lstrip("-_.")
    return f"{head}-{zlib.crc32(text.encode('utf-8', 'surrogatepass')):08x}".lstrip("-")


def hub_name(metadata: Mapping[str, Any]) -> str:
    """Name of the hub that a LynqNode is of; its label holds a long one shortened."""
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    return str(annotations.get(ANNOTATION_HUB_ID) or labels.get(LABEL_HUB) or "")


def tracking_labels(key: NodeKey, shard: str) -> dict[str, str]:
    """Labels that every object of a node carries: which node, which shard."""
    return {
        LABEL_NODE: label_value(key.name),
        LABEL_NODE_NAMESPACE: key.namespace,
        LABEL_SHARD: shard,
    }


@dataclass(frozen=True, slots=True)
class NodeRecord:
    """What the LynqNode is to say."""

    key: NodeKey
    row: NodeRow
    version: Version
    source_position: str
    """`gtid file:offset` of the change, for people."""
    hub: str
    form_generation: int
    shard: str
    inventory: Inventory = ()
    delete_cause: str = ""
    """Why the node is to go; empty while it is wanted."""
    dead: str = ""
    """Why the row's last change could not be published."""
    removal: str = ""
    """What the approval of the removal of objects has to say; empty when none is to go."""
    voids_approval: bool = False
    """An approval stands that nothing asks for any more: the next request is another one."""

    def body(self) -> dict[str, Any]:
        """The object for server-side apply; texts are equal for equal records.

        It names no owner: the garbage collector would delete it with its hub, past any approval.
        """
        return {
            "apiVersion": API_VERSION,
            "kind": "LynqNode",
            "metadata": {
                "name": self.key.name,
                "namespace": self.key.namespace,
                "labels": {
                    LABEL_HUB: label_value(self.hub),
                    LABEL_UID: label_value(self.row.uid),
                    LABEL_SHARD: self.shard,
                    **({LABEL_DELETE_REQUESTED: "true"} if self.delete_cause else {}),
                },
                "annotations": {
                    **self.row.annotations(),
                    ANNOTATION_HUB_ID: self.hub,
                    ANNOTATION_TEMPLATE_GENERATION: str(self.form_generation),
                    ANNOTATION_ROW_VERSION: self.version.text(),
                    ANNOTATION_SOURCE_POSITION: self.source_position,
                    **({LABEL_DELETE_REQUESTED: self.delete_cause} if self.delete_cause else {}),
                    **({ANNOTATION_DEAD_LETTER: self.dead} if self.dead else {}),
                    **({ANNOTATION_REMOVAL_REQUESTED: self.removal} if self.removal else {}),
                    **({ANNOTATION_APPROVED: ""} if self.voids_approval else {}),
                },
                "finalizers": [NODE_FINALIZER],
            },
            "spec": {
                "uid": self.row.uid,
                "templateRef": self.key.form,
                "inventory": [
                    {
                        "id": resource_id,
                        "apiVersion": ref.api_version,
                        "kind": ref.kind,
                        "name": ref.name,
                        **({"namespace": ref.namespace} if ref.namespace else {}),
                    }
                    for resource_id, ref in self.inventory
                ],
            },
        }


@dataclass(frozen=True, slots=True)
class ObservedNode:
    """The slim record of a live LynqNode."""

    key: NodeKey
    name: str
    uid: str
    resource_version: str
    shard: str
    row_version: Version | None
    form_generation: int
    source_position: str
    annotations: Mapping[str, str]
    inventory: Inventory
    hub: str
    status: Mapping[str, Any] = field(default_factory=dict)
    finalizers: tuple[str, ...] = ()
    deleting: bool = False
    delete_requested: bool = False
    """The record of a node that is to go; a later active row, a form or a hub that is back, take it back."""

    @property
    def is_named_by_key(self) -> bool:
        """Whether the name is that of its uid and form; if not, somebody has edited either."""
        return self.key.name == self.name

    @property
    def let_go(self) -> bool:
        """On its way out, and not kept by our finalizer."""
        return self.deleting and NODE_FINALIZER not in self.finalizers

    @property
    def delete_cause(self) -> Cause:
        """Why it is to go."""
        return cause_of(self.annotations.get(LABEL_DELETE_REQUESTED, "")) if self.delete_requested else Cause.NONE


class _Packed(Mapping[str, Any]):
    """A status as compressed JSON: there is one for each node, and it is looked at in the node's own runs alone."""

    __slots__ = ("_text",)

    def __init__(self, status: Mapping[str, Any]) -> None:
        self._text = zlib.compress(orjson.dumps(status), 1)

    def _open(self) -> dict[str, Any]:
        opened: dict[str, Any] = orjson.loads(zlib.decompress(self._text))
        return opened

    def __getitem__(self, key: str) -> Any:
        return self._open()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._open())

    def __len__(self) -> int:
        return len(self._open())

    def items(self) -> ItemsView[str, Any]:
        return self._open().items()


def observe_node(raw: Mapping[str, Any]) -> ObservedNode:
    """A live LynqNode as the record that decisions need. Raises InvalidError when its row-version is not a version."""
    metadata = raw["metadata"]
    annotations = metadata.get("annotations") or {}
    labels = metadata.get("labels") or {}
    spec = raw.get("spec") or {}
    text = annotations.get(ANNOTATION_ROW_VERSION)
    generation = annotations.get(ANNOTATION_TEMPLATE_GENERATION) or "0"
    return ObservedNode(
        key=NodeKey(metadata.get("namespace", ""), spec.get("templateRef", ""), spec.get("uid", "")),
        name=metadata["name"],
        uid=metadata.get("uid", ""),
        resource_version=metadata.get("resourceVersion", ""),
        shard=labels.get(LABEL_SHARD, ""),
        row_version=Version.parse(text) if text else None,
        form_generation=int(generation) if generation.isdecimal() else 0,
        source_position=annotations.get(ANNOTATION_SOURCE_POSITION, ""),
        annotations=annotations,
        inventory=tuple(
            (
                sys.intern(item["id"]),
                ref_of(item["apiVersion"], item["kind"], item.get("namespace", ""), item["name"]),
            )
            for item in spec.get("inventory") or ()
        ),
        hub=hub_name(metadata),
        status=_Packed(raw.get("status") or {}),
        finalizers=tuple(metadata.get("finalizers") or ()),
        deleting="deletionTimestamp" in metadata,
        delete_requested=LABEL_DELETE_REQUESTED in labels,
    )


def annotation_bytes(node: ObservedNode | None, record: NodeRecord) -> int:
    """What the annotations of the LynqNode come to with the record, as the API server counts them."""
    annotations: dict[str, str] = record.body()["metadata"]["annotations"]
    told = {**(node.annotations if node else {}), **annotations}
    return sum(len(text.encode("utf-8", "surrogatepass")) for item in told.items() for text in item)


def says(node: ObservedNode, record: NodeRecord) -> bool:
    """Whether the live LynqNode holds the record already."""
    annotations = record.body()["metadata"]["annotations"]
    return (
        node.key == record.key
        and node.inventory == record.inventory
        and node.shard == record.shard
        and node.delete_requested == bool(record.delete_cause)
        and (ANNOTATION_REMOVAL_REQUESTED in node.annotations) == bool(record.removal)
        and (node.deleting or NODE_FINALIZER in node.finalizers)
        and all(node.annotations.get(k) == v for k, v in annotations.items())
    )
