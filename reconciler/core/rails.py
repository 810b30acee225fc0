"""What a person has asked for by annotation: hold a hub, form or node, try a form dry, move traffic now.

Fed by: annotations of hubs, forms and LynqNodes. Feeds: reconcile.py, the commands. Never: decides what a row wants.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from reconciler.core.objects import Delete, Look, Step, Wait, WaitReason, Write
from shared.errors import InvalidError
from shared.model.form import Form
from shared.model.hub import Hub
from shared.model.names import ANNOTATION_DRY_RUN, ANNOTATION_PAUSED, ANNOTATION_SWITCH_NOW
from shared.model.version import Version

__all__ = ["Rail", "hold_back", "is_paused", "rail_of", "switch_now"]

_TRUE = "true"


class Rail(NamedTuple):
    """Why nothing below a LynqNode is written; `text` names what carries the annotation."""

    reason: WaitReason
    text: str


def is_paused(annotations: Mapping[str, str]) -> bool:
    """Whether `lynq.sh/paused` is `true`."""
    return annotations.get(ANNOTATION_PAUSED) == _TRUE


def rail_of(hub: Hub | None, form: Form | None, node: Mapping[str, str]) -> Rail | None:
    """The rail that holds a node (by its annotations), the widest first; None when there is none."""
    if hub is not None and is_paused(hub.metadata.annotations):
        return Rail(WaitReason.PAUSED, f"hub {hub.metadata.name} is paused")
    if form is not None and is_paused(form.metadata.annotations):
        return Rail(WaitReason.PAUSED, f"form {form.metadata.name} is paused")
    if is_paused(node):
        return Rail(WaitReason.PAUSED, "the node is paused")
    if form is not None and form.metadata.annotations.get(ANNOTATION_DRY_RUN) == _TRUE:
        return Rail(WaitReason.DRY_RUN, f"form {form.metadata.name} is tried dry")
    return None


def hold_back(step: Step, rail: Rail) -> Step:
    """The step without its writes; each becomes a wait that says what would have been done. Reads go on."""

    def why(action: Write | Delete | Look) -> Wait | None:
        return (
            None if isinstance(action, Look) else Wait(_id(action), rail.reason, f"{rail.text}: would {_deed(action)}")
        )

    return step.withhold(why)


def switch_now(node: Mapping[str, str]) -> Version | None:
    """The row version whose routes move at once, as a LynqNode says; what is no version counts as nothing."""
    try:
        return Version.parse(node.get(ANNOTATION_SWITCH_NOW, ""))
    except InvalidError:
        return None


def _id(action: Write | Delete) -> str:
    return action.object.id if isinstance(action, Write) else action.id


def _deed(action: Write | Delete) -> str:
    if isinstance(action, Delete):
        return f"delete {action.base.ref}"
    return f"{'create' if action.base is None else 'update'} {action.object.ref}"
