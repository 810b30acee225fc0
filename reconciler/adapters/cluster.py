"""Fenced writes of children and LynqNodes, and single reads (port `Cluster`).

Fed by: reconcile.py. Feeds: the API server. Never: retries or reads before it writes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from reconciler.adapters.orphaning import give_up
from reconciler.adapters.strategies import ONLY_IF_ABSENT, ObjectWriter, fence_of
from reconciler.adapters.terminating import is_terminating
from reconciler.core.objects import Absent, Delete, ObjectRef, ObservedObject, Write
from reconciler.core.orphans import unmarked
from reconciler.core.record import NodeRecord, ObservedNode, observe_node
from reconciler.core.slim import slim
from shared.errors import ObjectNotFound
from shared.kube import NODES, KubeClient, ResourceType
from shared.model.names import API_VERSION, FIELD_MANAGER, NODE_FINALIZER
from shared.model.version import Version

__all__ = ["KubeCluster"]


class KubeCluster:
    """Port `Cluster` over the Kubernetes API."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client
        self._writer = ObjectWriter(client)

    def _type(self, ref: ObjectRef) -> ResourceType:
        return self._client.resource_type(ref.api_version, ref.kind)

    def look(self, ref: ObjectRef) -> ObservedObject | Absent:
        """GET by name."""
        try:
            return slim(self._client.get(self._type(ref), ref.namespace, ref.name))
        except ObjectNotFound as error:
            if not error.status:
                raise
            return Absent(ref)

    def write(self, write: Write, version: Version) -> ObservedObject:
        """As the patch strategy says, with stamps and fence; the marks of an object that was given up go first."""
        base = write.base
        if base is not None and base.orphaned:
            write = replace(write, base=slim(self._patch(base, unmarked())))
        return slim(self._writer.write(write, version.text()))

    def _patch(self, base: ObservedObject, patch: dict[str, Any]) -> dict[str, Any]:
        """A merge patch of an object's metadata, fenced."""
        _fence(patch["metadata"], base)
        query = {"fieldManager": FIELD_MANAGER}
        return self._client.merge_patch(self._type(base.ref), base.ref.namespace, base.ref.name, patch, query)

    def delete(self, delete: Delete, stamp: str) -> None:
        """Delete in the background with preconditions; or give the object up, if it is to outlive its node."""
        ref = delete.base.ref
        try:
            if delete.orphan:
                live = self._client.get(self._type(ref), ref.namespace, ref.name)
                give_up(self._client, self._type(ref), live, fence_of(delete.base), (delete.orphan, stamp))
                return
            self._client.delete(
                self._type(ref),
                ref.namespace,
                ref.name,
                uid=delete.base.uid,
                resource_version=delete.base.resource_version,
            )
        except ObjectNotFound:
            return

    def look_node(self, namespace: str, name: str) -> ObservedNode | None:
        """GET of a LynqNode."""
        try:
            return observe_node(self._client.get(NODES, namespace, name))
        except ObjectNotFound:
            return None

    def is_terminating(self, namespace: str) -> bool:
        """Whether the namespace, or a CRD of ours, is on its way out."""
        return is_terminating(self._client, namespace)

    def write_node(self, record: NodeRecord, base: ObservedNode | None) -> ObservedNode:
        """Apply a LynqNode."""
        body = record.body()
        _fence(body["metadata"], base)
        return observe_node(self._client.apply(NODES, body, manager=FIELD_MANAGER, force=True))

    def write_status(self, node: ObservedNode, status: Mapping[str, Any]) -> ObservedNode:
        """Apply the status subresource."""
        metadata = {"name": node.name, "namespace": node.key.namespace}
        _fence(metadata, node)
        body = {"apiVersion": API_VERSION, "kind": "LynqNode", "metadata": metadata, "status": dict(status)}
        return observe_node(self._client.apply(NODES, body, manager=FIELD_MANAGER, force=True, subresource="status"))

    def delete_node(self, node: ObservedNode) -> None:
        """Delete a LynqNode and take our finalizer off; its children are gone by then."""
        try:
            if not node.deleting:
                answer = self._client.delete(
                    NODES, node.key.namespace, node.name, uid=node.uid, resource_version=node.resource_version
                )
                if "spec" not in answer:  # it had no finalizer
                    return
                node = observe_node(answer)
            if NODE_FINALIZER in node.finalizers:
                metadata: dict[str, Any] = {"finalizers": [f for f in node.finalizers if f != NODE_FINALIZER]}
                _fence(metadata, node)
                self._client.merge_patch(NODES, node.key.namespace, node.name, {"metadata": metadata})
        except ObjectNotFound:
            return


def _fence(metadata: dict[str, Any], base: ObservedObject | ObservedNode | None) -> None:
    metadata |= {"resourceVersion": ONLY_IF_ABSENT} if base is None else fence_of(base)
