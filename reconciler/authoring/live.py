"""What the commands ask of a cluster: hubs, forms, nodes, types, and what an apply would do.

Fed by: the API server of KUBECONFIG. Feeds: the commands with `--live`, diff.py. Never: changes anything there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from reconciler.adapters.openapi import live_schemas
from reconciler.adapters.strategies import ObjectWriter
from reconciler.core.objects import ObjectRef, Write
from reconciler.core.record import ObservedNode, observe_node
from reconciler.core.schema import Schemas
from shared.errors import ClusterBusy, ObjectConflict, ObjectNotFound
from shared.kube import FORMS, HUBS, NODES, KubeClient
from shared.model.api import parse_object
from shared.model.form import Form
from shared.model.hub import Hub
from shared.settings import load_kube

__all__ = ["Live", "patiently"]

_T = TypeVar("_T")
_TRIES: Final = 5


class Live:
    """A cluster to look at; thread-safe. Every method may raise ClusterError."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client
        self._writer = ObjectWriter(client, dry_run=True)

    @classmethod
    def connect(cls) -> Live:
        """The cluster of the environment. Raises UsageError when there is no configuration."""
        return cls(KubeClient.connect(load_kube(), pool_size=16))

    def hub(self, namespace: str, name: str) -> Hub | None:
        """A hub; None when it does not exist."""
        try:
            return parse_object(Hub, self._client.get(HUBS, namespace, name))
        except ObjectNotFound:
            return None

    def forms_of(self, hub: Hub) -> list[Form]:
        """The forms that use the hub."""
        raw, _ = self._client.list(FORMS, hub.metadata.namespace)
        return [parse_object(Form, item) for item in raw if item["spec"].get("hubId") == hub.metadata.name]

    def nodes(self, namespace: str, forms: Sequence[str]) -> list[ObservedNode]:
        """The LynqNodes of these forms that are to stay, by name."""
        raw, _ = self._client.list(NODES, namespace)
        seen = [observe_node(item) for item in raw if item["spec"].get("templateRef") in forms]
        return [node for node in seen if not (node.deleting or node.delete_requested)]

    def node(self, namespace: str, name: str) -> ObservedNode | None:
        """One LynqNode; None when it does not exist."""
        try:
            return observe_node(self._client.get(NODES, namespace, name))
        except ObjectNotFound:
            return None

    def schemas(self, kinds: frozenset[tuple[str, str]]) -> Schemas:
        """The types of these kinds, as far as they are served."""
        return live_schemas(self._client, kinds)[0]

    def object(self, ref: ObjectRef) -> dict[str, Any] | None:
        """A live object; None when it does not exist, or its kind is not served."""
        try:
            kind = self._client.resource_type(ref.api_version, ref.kind)
            return patiently(lambda: self._client.get(kind, ref.namespace, ref.name))
        except ObjectNotFound:
            return None

    def dry_run(self, write: Write) -> dict[str, Any]:
        """What the object would be after a write of the reconciler's; ObjectConflict when it has changed meanwhile."""
        return self._writer.write(write, "")


def patiently(call: Callable[[], _T]) -> _T:
    """The call's answer; when the server asks to come back later, or an object has moved meanwhile, that is done."""
    for _ in range(_TRIES):
        try:
            return call()
        except ClusterBusy as busy:
            time.sleep(busy.retry_after_s)
        except ObjectConflict:
            continue
    return call()
