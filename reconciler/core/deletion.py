"""Deletion in two steps, the owner's half: what is to go is asked for, and touched only when it is approved.

A LynqNode that is to go carries the label `lynq.sh/delete-requested` and, as annotation, the cause; one that is to lose
objects, because form or row name them no more, carries `lynq.sh/removal-requested`. The approval is the annotation
`lynq.sh/approved` with the text of `approval_key`; the coordinator writes it, or a person (`rowplane approve`).
Fed by: the goal and the step of a run. Feeds: reconcile.py, approval.py, the commands. Never: performs I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum

from reconciler.core.objects import Delete, Look, Step, Wait, WaitReason, Write
from shared.model.names import (
    ANNOTATION_APPROVED,
    ANNOTATION_REMOVAL_REQUESTED,
    ANNOTATION_ROW_VERSION,
    LABEL_DELETE_REQUESTED,
)

__all__ = ["Cause", "approval_key", "cause_of", "deletion_key", "give_up", "guard", "is_approved", "removal_key"]


class Cause(StrEnum):
    """Why a LynqNode is to go."""

    NONE = ""
    ROW_DELETED = "row deleted"
    ROW_INACTIVE = "row inactive"
    FORM_REMOVED = "form removed"
    HUB_REMOVED = "hub removed"

    @property
    def is_row(self) -> bool:
        """Whether the database asks for it, and not a person who edits the cluster."""
        return self in (Cause.ROW_DELETED, Cause.ROW_INACTIVE)

    @property
    def is_cluster(self) -> bool:
        """Whether form or hub is gone: by a person, or along with its CRD."""
        return self in (Cause.FORM_REMOVED, Cause.HUB_REMOVED)


def cause_of(text: str) -> Cause:
    """The cause that an annotation tells; what is none counts as a deleted row."""
    try:
        return Cause(text)
    except ValueError:
        return Cause.ROW_DELETED


def approval_key(annotations: Mapping[str, str]) -> str:
    """What the approval of a LynqNode's present request has to say; empty when it asks for nothing."""
    if cause := annotations.get(LABEL_DELETE_REQUESTED):
        return deletion_key(annotations.get(ANNOTATION_ROW_VERSION, ""), cause)
    return annotations.get(ANNOTATION_REMOVAL_REQUESTED, "")


def deletion_key(row_version: str, cause: str) -> str:
    """The request to delete the node for this cause, as of this row."""
    return f"{row_version} {cause}"


def removal_key(form_generation: int, row_version: str) -> str:
    """The request to remove what this generation of the form and this row name no more."""
    return f"{row_version} form {form_generation}"


def is_approved(annotations: Mapping[str, str], key: str) -> bool:
    """Whether the request is approved."""
    return bool(key) and annotations.get(ANNOTATION_APPROVED) == key


def give_up(step: Step) -> Step:
    """The step that leaves what it would delete, with the marks of an orphan: the cluster, not a row, asks for it."""
    writes = tuple(replace(a, orphan="LynqNodeDeleted") if isinstance(a, Delete) else a for a in step.writes)
    return replace(step, writes=writes)


def guard(step: Step, annotations: Mapping[str, str], key: str) -> Step:
    """The step without its deletions unless `key`, what is asked for now, is approved."""
    if is_approved(annotations, key):
        return step
    return step.withhold(_unapproved)


def _unapproved(action: Write | Delete | Look) -> Wait | None:
    if not isinstance(action, Delete):
        return None
    return Wait(action.id, WaitReason.UNAPPROVED, f"that {action.base.ref} goes is not approved yet")
