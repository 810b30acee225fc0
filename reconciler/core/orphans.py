"""The marks of an object that outlives its node, or its place in the form: Lynq's, so that its tools find them.

Fed by: the applier. Feeds: merge patches. Never: performs I/O. Source: Lynq, "Orphan resources"; but an owner that is
not a LynqNode stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from shared.model.names import LABEL_NODE, LABEL_NODE_NAMESPACE, LABEL_SHARD

__all__ = ["LABEL_ORPHANED", "marked", "unmarked"]

LABEL_ORPHANED: Final = "lynq.sh/orphaned"
ANNOTATION_AT: Final = "lynq.sh/orphaned-at"
ANNOTATION_REASON: Final = "lynq.sh/orphaned-reason"


def marked(live: Mapping[str, Any], reason: str, stamp: str) -> dict[str, Any]:
    """The patch that gives a live object up: `RemovedFromTemplate` or `LynqNodeDeleted`, at `stamp` (RFC 3339)."""
    owners = live["metadata"].get("ownerReferences") or ()
    others = [owner for owner in owners if owner.get("kind") != "LynqNode"]
    metadata: dict[str, Any] = {
        "labels": {LABEL_ORPHANED: "true", LABEL_NODE: None, LABEL_NODE_NAMESPACE: None, LABEL_SHARD: None},
        "annotations": {ANNOTATION_AT: stamp, ANNOTATION_REASON: reason},
    }
    if len(others) != len(owners):
        metadata["ownerReferences"] = others or None
    return {"metadata": metadata}


def unmarked() -> dict[str, Any]:
    """The patch that takes the marks off."""
    return {
        "metadata": {"labels": {LABEL_ORPHANED: None}, "annotations": {ANNOTATION_AT: None, ANNOTATION_REASON: None}}
    }
