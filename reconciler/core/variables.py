"""A row as template variables, and as the annotations of its LynqNode; each can be made from the other's text.

Fed by: envelopes, LynqNodes. Feeds: render.py, record.py. Never: fails on NULL (it is the empty text).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from shared.errors import InvalidError
from shared.gotemplate.funcs.typed import to_host
from shared.model.envelope import Row
from shared.model.hub import Hub
from shared.model.names import ANNOTATION_ACTIVATE, ANNOTATION_EXTRA, ANNOTATION_HOST_OR_URL

__all__ = [
    "NodeRow",
    "is_active",
    "last_row_of_annotations",
    "node_row",
    "node_row_of_annotations",
    "text_of",
    "variables_of",
]

_TRUE = frozenset(("1", "true", "TRUE", "True", "yes", "YES", "Yes"))


@dataclass(frozen=True, slots=True)
class NodeRow:
    """What a LynqNode keeps of its row: texts only, as templates see them."""

    uid: str
    activate: str
    host_or_url: str
    """Empty when unmapped or NULL."""
    extra: Mapping[str, str]

    def annotations(self) -> dict[str, str]:
        """Lynq's three annotations."""
        return {
            ANNOTATION_HOST_OR_URL: self.host_or_url,
            ANNOTATION_ACTIVATE: self.activate,
            ANNOTATION_EXTRA: json.dumps(dict(self.extra), sort_keys=True, ensure_ascii=False, separators=(",", ":")),
        }


def text_of(value: str | int | float | bool | None) -> str:
    """A column's value as templates see it: NULL is empty, booleans are 1 and 0, the rest is its plain text."""
    match value:
        case None:
            return ""
        case bool():
            return "1" if value else "0"
        case str():
            return value
        case _:
            return str(value)


def is_active(text: str) -> bool:
    """Lynq's truth table for the activate column: 1, true, TRUE, True, yes, YES, Yes; all else is inactive."""
    return text in _TRUE


def node_row(hub: Hub, row: Row) -> NodeRow:
    """Project an envelope's row through the hub's mappings. Raises InvalidError naming a column that is not there."""
    mappings = hub.spec.value_mappings

    def column(name: str) -> str:
        if name not in row:
            raise InvalidError(
                f"LynqHub {hub.metadata.namespace}/{hub.metadata.name}: the row has no column {name}",
                mend=f"Map one of {', '.join(sorted(row))}",
                reason="ColumnMissing",
            )
        return text_of(row[name])

    return NodeRow(
        uid=column(mappings.uid),
        activate=column(mappings.activate),
        host_or_url=column(mappings.host_or_url) if mappings.host_or_url else "",
        extra={variable: column(name) for variable, name in hub.spec.extra_value_mappings.items()},
    )


def node_row_of_annotations(uid: str, annotations: Mapping[str, str]) -> NodeRow:
    """The row as a LynqNode keeps it. Raises InvalidError when `lynq.sh/extra` is not a JSON object of texts."""
    try:
        extra = json.loads(annotations.get(ANNOTATION_EXTRA) or "{}")
        texts = {str(k): str(v) for k, v in extra.items()}
    except (ValueError, AttributeError) as error:
        raise InvalidError(
            f"annotation {ANNOTATION_EXTRA} is not a JSON object", reason="VariablesBuildError"
        ) from error
    return NodeRow(
        uid=uid,
        activate=annotations.get(ANNOTATION_ACTIVATE, ""),
        host_or_url=annotations.get(ANNOTATION_HOST_OR_URL, ""),
        extra=texts,
    )


def last_row_of_annotations(uid: str, annotations: Mapping[str, str]) -> NodeRow:
    """The row that a LynqNode without one goes on to name; variables that cannot be read are dropped."""
    try:
        return node_row_of_annotations(uid, annotations)
    except InvalidError:
        return node_row_of_annotations(uid, {**annotations, ANNOTATION_EXTRA: ""})


def variables_of(row: NodeRow, hub_name: str, form_name: str) -> dict[str, object]:
    """Template variables (Lynq's set): extras may shadow all but hubId and templateRef; host falls back to the uid."""
    host_or_url = row.host_or_url or row.uid
    return {
        "uid": row.uid,
        "activate": row.activate or "true",
        "hostOrUrl": host_or_url,
        "host": to_host(host_or_url),
        **row.extra,
        "hubId": hub_name,
        "templateRef": form_name,
    }
