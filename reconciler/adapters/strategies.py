"""One object written as its patch strategy says: server-side apply, JSON merge patch or PUT; each stamped and fenced.

The fence (Kubernetes, "Server-Side Apply" and "API Concepts"; behaviours pinned by tests/component/test_fence.py): an
update carries metadata.uid and metadata.resourceVersion of what it was computed from, whichever way it is sent; a
create by apply carries resourceVersion "1", which applies only if the object is absent; a POST fails by itself.
Fed by: cluster.py, and `rowplane diff`, which tries without writing. Feeds: the API server. Never: retries.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from reconciler.core.adoption import merged_owners, overwritten
from reconciler.core.fields import update_of, with_live_values
from reconciler.core.managed import is_left_out
from reconciler.core.objects import ANNOTATION_LEFT, ObservedObject, Write
from reconciler.core.record import ObservedNode
from shared.errors import FieldConflict, ObjectConflict, ObjectNotFound
from shared.kube import KubeClient, ResourceType
from shared.model.form import PatchStrategy
from shared.model.names import (
    ANNOTATION_APPLIED_HASH,
    ANNOTATION_FENCED,
    ANNOTATION_ROW_VERSION,
    FIELD_MANAGER,
    HANDOVER_MANAGER,
)

__all__ = ["ONLY_IF_ABSENT", "ObjectWriter", "fence_of"]

ONLY_IF_ABSENT: Final = "1"
"""No live object ever has this resourceVersion, so the apply fails unless there is none."""
_OURS: Final = frozenset({FIELD_MANAGER, HANDOVER_MANAGER})
_BOOKKEEPING: Final = ".lynq.sh/"

Body = dict[str, Any]


class ObjectWriter:
    """Thread-safe. With `dry_run` the API server is asked, and nothing is changed."""

    def __init__(self, client: KubeClient, *, dry_run: bool = False) -> None:
        self._client = client
        self._dry_run = dry_run
        self._query = {"fieldManager": FIELD_MANAGER} | ({"dryRun": "All"} if dry_run else {})

    def write(self, write: Write, row_version: str) -> Body:
        """The live object after the write.

        Raises FieldConflict (Stuck, another manager owns a field), ObjectConflict (not what it was computed from).
        """
        kind = self._client.resource_type(write.object.ref.api_version, write.object.ref.kind)
        body = _stamped(write, row_version)
        if write.object.patch_strategy is PatchStrategy.APPLY:
            return self._apply(kind, write, body)
        if write.base is None:
            return self._client.create(kind, body, self._query)
        try:
            return self._overwrite(kind, write, write.base, body)
        except ObjectNotFound as error:
            raise ObjectConflict(f"{write.object.ref} is gone", status=409) from error

    def _apply(self, kind: ResourceType, write: Write, body: Body) -> Body:
        base = write.base
        if base is None:
            return self._make(kind, write, body)
        fence = fence_of(base)
        if write.object.ignored:
            body, fence = self._without_ignored(kind, write, base, body)
        return self._send(kind, _with(body, fence), force=write.force)

    def _make(self, kind: ResourceType, write: Write, body: Body) -> Body:
        """Apply what is absent; a field conflict, which the API server tells before a stale fence, says that it is not.

        Which fields are to be left to others is decided by what is there.
        """
        try:
            return self._send(kind, _with(body, {"resourceVersion": ONLY_IF_ABSENT}), force=write.force)
        except FieldConflict as conflict:
            raise ObjectConflict(f"{write.object.ref} exists", status=409) from conflict

    def _send(self, kind: ResourceType, body: Body, *, force: bool) -> Body:
        """Apply; fields that another manager of ours owns, and our own bookkeeping, are taken in any case."""
        try:
            return self._client.apply(kind, body, manager=FIELD_MANAGER, force=force, dry_run=self._dry_run)
        except FieldConflict as conflict:
            if force or not (
                set(conflict.managers) <= _OURS or all(_BOOKKEEPING in field for field in conflict.fields)
            ):
                raise
        return self._client.apply(kind, body, manager=FIELD_MANAGER, force=True, dry_run=self._dry_run)

    def _without_ignored(
        self, kind: ResourceType, write: Write, base: ObservedObject, body: Body
    ) -> tuple[Body, dict[str, str]]:
        """(the body without its ignored fields, the fence), after what only we own was handed over."""
        ignored = write.object.ignored
        if all(is_left_out(base.managed, location) for location in ignored):
            return update_of(body, ignored, {"metadata": {}}).body, fence_of(base)
        live = self._look(kind, base)
        if self._dry_run:
            return with_live_values(body, ignored, live), fence_of(base)
        update = update_of(body, ignored, live)
        fence = fence_of(base)
        if update.handover is not None:
            answer = self._client.apply(kind, _with(update.handover, fence), manager=HANDOVER_MANAGER, force=False)
            fence = {**fence, "resourceVersion": str(answer["metadata"]["resourceVersion"])}
        return update.body, fence

    def _overwrite(self, kind: ResourceType, write: Write, base: ObservedObject, body: Body) -> Body:
        """Merge patch or PUT."""
        strategy, ref = write.object.patch_strategy, write.object.ref
        live = self._look(kind, base)
        body = with_live_values(body, write.object.ignored, live)
        if not write.force and (causes := overwritten(live, body, strategy)):
            raise FieldConflict.over(causes)
        body = _with(body, fence_of(base))
        if strategy is PatchStrategy.REPLACE:
            return self._client.replace(kind, body, self._query)
        metadata = body["metadata"]
        metadata["ownerReferences"] = merged_owners(live, metadata.get("ownerReferences"))
        if base.left and ANNOTATION_LEFT not in metadata["annotations"]:
            metadata["annotations"] = {**metadata["annotations"], ANNOTATION_LEFT: None}
        return self._client.merge_patch(kind, ref.namespace, ref.name, body, self._query)

    def _look(self, kind: ResourceType, base: ObservedObject) -> Body:
        """The live object, if it is still the one that the write was computed from."""
        live = self._client.get(kind, base.ref.namespace, base.ref.name)
        if fence_of(base) != {k: live["metadata"].get(k) for k in ("uid", "resourceVersion")}:
            raise ObjectConflict(f"{base.ref} has changed", status=409)
        return live


def _stamped(write: Write, row_version: str) -> Body:
    """The body with the annotations that say what it was made from."""
    metadata = dict(write.object.manifest["metadata"])
    annotations = dict(metadata.get("annotations") or {})
    annotations[ANNOTATION_APPLIED_HASH] = write.object.hash
    annotations[ANNOTATION_ROW_VERSION] = row_version
    if write.doubtful and write.base is not None:
        annotations[ANNOTATION_FENCED] = write.base.resource_version
    left = write.left if write.left is not None else (write.base.left if write.base else ())
    if left:
        annotations[ANNOTATION_LEFT] = ",".join(left)
    metadata["annotations"] = annotations
    return {**write.object.manifest, "metadata": metadata}


def fence_of(base: ObservedObject | ObservedNode) -> dict[str, str]:
    """What an update of it has to carry."""
    return {"uid": base.uid, "resourceVersion": base.resource_version}


def _with(body: Mapping[str, Any], fence: Mapping[str, str]) -> Body:
    return {**body, "metadata": {**body["metadata"], **fence}}
