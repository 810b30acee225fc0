"""An API server in memory with what the reconciler relies on: fences, resourceVersions, generations, preconditions.

Fed by: KubeCluster, as if it were the client. Feeds: tests of reconcile.py. Never: validates objects. That the real
server keeps the same fences is pinned by tests/component/test_fence.py.
"""

from __future__ import annotations

import copy
import itertools
import threading
from collections.abc import Callable, Mapping
from typing import Any

from reconciler.core.objects import ObjectRef
from shared.errors import ClusterError, ObjectConflict, ObjectNotFound
from shared.kube import KubeClient, ResourceType

_THEIRS = frozenset({"lynq.sh/approved", "lynq.sh/paused", "lynq.sh/switch-now"})
"""Annotations of other managers, which an apply leaves alone."""
CLUSTER_SCOPED = frozenset({"Namespace"})


class MemoryApi(KubeClient):
    """Thread-safe; objects by ref, as the server would answer them."""

    def __init__(self) -> None:  # no connection
        self._lock = threading.RLock()
        self._versions = itertools.count(100)
        self._uids = itertools.count(1)
        self.objects: dict[ObjectRef, dict[str, Any]] = {}
        self.ending: set[str] = set()
        """Namespaces and CRDs on their way out."""
        self.refusals: dict[str, ClusterError] = {}
        """Name of an object → the error that an apply of it gets."""
        self.before_apply: Callable[[ObjectRef], None] = lambda _ref: None
        """Somebody else's chance to come in between."""
        self.deleted: list[ObjectRef] = []

    def resource_type(self, api_version: str, kind: str) -> ResourceType:
        """Plural and scope by rule of thumb."""
        return ResourceType(api_version, kind, kind.lower() + "s", kind not in CLUSTER_SCOPED)

    def get(self, kind: ResourceType, namespace: str, name: str) -> dict[str, Any]:
        """One object; every namespace and CRD is there."""
        if kind.kind in ("Namespace", "CustomResourceDefinition"):
            return {"metadata": {"name": name} | ({"deletionTimestamp": "now"} if name in self.ending else {})}
        with self._lock:
            return copy.deepcopy(self._held(_ref(kind, namespace, name)))

    def apply(
        self,
        kind: ResourceType,
        body: Mapping[str, Any],
        *,
        manager: str,  # the client's signature
        force: bool = True,  # the client's signature
        subresource: str = "",
        dry_run: bool = False,  # the client's signature
    ) -> dict[str, Any]:
        """Server-side apply by the one manager there is: what is not in the body goes, but for the status."""
        metadata = body["metadata"]
        ref = _ref(kind, metadata.get("namespace", ""), metadata["name"])
        self.before_apply(ref)
        with self._lock:
            if ref.name in self.refusals:
                raise self.refusals[ref.name]
            held = self.objects.get(ref)
            _check_fence(ref, held, metadata)
            if subresource:
                held = self._held(ref)
                return self._store(ref, {**held, "status": copy.deepcopy(body["status"])})
            return self._store(ref, self._merged(body, held))

    def delete(
        self, kind: ResourceType, namespace: str, name: str, *, uid: str = "", resource_version: str = ""
    ) -> dict[str, Any]:
        """Delete at once, or when the last finalizer is off, with preconditions."""
        with self._lock:
            ref = _ref(kind, namespace, name)
            held = self._held(ref)
            live = held["metadata"]
            if uid not in ("", live["uid"]) or resource_version not in ("", live["resourceVersion"]):
                raise ObjectConflict(f"precondition of {ref} does not hold", status=409)
            if live.get("finalizers"):
                return self.change(ref, lambda raw: raw["metadata"].update(deletionTimestamp="2026-01-01T00:00:00Z"))
            self.deleted.append(ref)
            return self.objects.pop(ref)

    def merge_patch(
        self,
        kind: ResourceType,
        namespace: str,
        name: str,
        body: Mapping[str, Any],
        query: Mapping[str, str] | None = None,  # the client's signature
    ) -> dict[str, Any]:
        """Of metadata (RFC 7386)."""
        with self._lock:
            ref, metadata = _ref(kind, namespace, name), body["metadata"]
            _check_fence(ref, self._held(ref), metadata)
            changed = copy.deepcopy(self._held(ref))
            for part in ("labels", "annotations"):
                merged = (changed["metadata"].get(part) or {}) | (metadata.get(part) or {})
                changed["metadata"][part] = {k: v for k, v in merged.items() if v is not None}
            for part in ("finalizers", "ownerReferences"):
                if part in metadata:
                    changed["metadata"][part] = list(metadata[part] or ())
            if "deletionTimestamp" in changed["metadata"] and not changed["metadata"].get("finalizers"):
                self.deleted.append(ref)
                return self.objects.pop(ref)
            return self._store(ref, changed)

    # -- what tests do to it and ask it ---------------------------------------------------------------------------

    def change(self, ref: ObjectRef, change: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
        """Somebody else changes an object."""
        with self._lock:
            changed = copy.deepcopy(self._held(ref))
            change(changed)
            return self._store(ref, changed)

    def make_available(self, *refs: ObjectRef) -> None:
        """Pods of these Deployments, or of all, are there."""
        for ref in refs or [r for r in self.objects if r.kind == "Deployment"]:
            self.change(ref, _available)

    def versions(self) -> dict[str, int]:
        """`Kind name` → resourceVersion."""
        with self._lock:
            return {f"{r.kind} {r.name}": int(o["metadata"]["resourceVersion"]) for r, o in self.objects.items()}

    def find(self, kind: str, name: str) -> dict[str, Any]:
        """The object, by kind and name."""
        with self._lock:
            (found,) = (o for r, o in self.objects.items() if (r.kind, r.name) == (kind, name))
            return copy.deepcopy(found)

    # ---------------------------------------------------------------------------------------------------------------

    def _held(self, ref: ObjectRef) -> dict[str, Any]:
        if ref not in self.objects:
            raise ObjectNotFound(f"{ref} not found", status=404)
        return self.objects[ref]

    def _merged(self, body: Mapping[str, Any], held: dict[str, Any] | None) -> dict[str, Any]:
        wanted = copy.deepcopy(dict(body))
        live = held["metadata"] if held else {"uid": f"uid-{next(self._uids)}", "generation": 0}
        kept = {k: live[k] for k in ("uid", "generation", "resourceVersion", "deletionTimestamp") if k in live}
        wanted["metadata"] = {**wanted["metadata"], "resourceVersion": "", **kept}
        others = held["metadata"].get("annotations", {}) if held else {}
        theirs = {k: v for k, v in others.items() if k in _THEIRS}
        wanted["metadata"]["annotations"] = theirs | (wanted["metadata"].get("annotations") or {})
        if held and "status" in held:
            wanted["status"] = held["status"]
        if held is None or held.get("spec") != wanted.get("spec"):
            wanted["metadata"]["generation"] += 1
        return wanted

    def _store(self, ref: ObjectRef, wanted: dict[str, Any]) -> dict[str, Any]:
        if wanted != self.objects.get(ref):
            wanted["metadata"]["resourceVersion"] = str(next(self._versions))
            self.objects[ref] = wanted
        return copy.deepcopy(wanted)


def _ref(kind: ResourceType, namespace: str, name: str) -> ObjectRef:
    return ObjectRef(kind.api_version, kind.kind, namespace if kind.namespaced else "", name)


def _check_fence(ref: ObjectRef, held: dict[str, Any] | None, metadata: Mapping[str, Any]) -> None:
    if held is None:
        if "uid" in metadata:
            raise ObjectConflict(f"{ref}: uid mismatch, and no existing object was found", status=409)
        return
    live = held["metadata"]
    if metadata.get("uid", live["uid"]) != live["uid"]:
        raise ObjectConflict(f"{ref}: metadata.uid is immutable", status=422)
    if metadata.get("resourceVersion", live["resourceVersion"]) != live["resourceVersion"]:
        raise ObjectConflict(f"{ref}: the object has been modified", status=409)


def _available(raw: dict[str, Any]) -> None:
    count = raw["spec"].get("replicas", 1)
    raw["status"] = {
        "replicas": count,
        "updatedReplicas": count,
        "availableReplicas": count,
        "observedGeneration": raw["metadata"]["generation"],
    }
