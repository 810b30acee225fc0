"""The spec of a form as of a generation: what a ControllerRevision holds, and which generations mean the same.

`rollout` is no part of it: how a change reaches the nodes is a matter of the newest form alone, and a form in which
only that was edited is the same revision as before.
Fed by: forms, ControllerRevisions. Feeds: the catalog adapter, the view, rollout.py. Never: performs I/O.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from reconciler.core.record import label_value
from shared.errors import InvalidError
from shared.model.api import parse_object
from shared.model.form import Form
from shared.model.names import API_VERSION, LABEL_FORM

__all__ = [
    "History",
    "Revision",
    "content_of",
    "newest",
    "parse_revision",
    "revision_name",
    "revision_object",
    "revision_of",
]

_NAME_MAX: Final = 220
_UNITED: Final = "rollout"


@dataclass(frozen=True, slots=True)
class Revision:
    """A form's spec as of generation `number`; its `rollout` is empty."""

    number: int
    digest: str
    """Equal for specs that are equal but for `rollout`."""
    form: Form

    def under(self, form: Form) -> Form:
        """The form as of then, with the rollout of `form`, which is it now."""
        spec = self.form.spec.model_copy(update={_UNITED: form.spec.rollout})
        return self.form.model_copy(update={"spec": spec})


@dataclass(frozen=True, slots=True)
class History:
    """The generations of a form that can be rendered."""

    current: int
    """The revision that the newest spec is."""
    digests: Mapping[int, str]
    """Revision number → digest."""
    lost: frozenset[int] = frozenset()
    """Generations that nodes name and that were looked for in vain."""

    def knows(self, number: int) -> bool:
        """Whether that generation can be rendered."""
        return number in self.digests

    def same(self, a: int, b: int) -> bool:
        """Whether two generations mean the same objects; one that is unknown is like itself alone."""
        return a == b or (self.knows(a) and self.digests.get(a) == self.digests.get(b))


def content_of(form: Form) -> dict[str, Any]:
    """The spec without `rollout` and without defaults, as JSON."""
    return form.spec.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude={_UNITED})


def _digest(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def revision_of(form: Form) -> Revision:
    """The revision that the form is now."""
    bare = form.model_copy(update={"spec": form.spec.model_copy(update={_UNITED: None})})
    return Revision(form.metadata.generation, _digest(content_of(form)), bare)


def newest(form: Form, revisions: Iterable[Revision]) -> Revision | None:
    """The form's last revision, if it is what the form says now; None: a new one is due."""
    passed = (revision for revision in revisions if revision.number <= form.metadata.generation)
    last = max(passed, key=lambda revision: revision.number, default=None)
    return last if last is not None and last.digest == _digest(content_of(form)) else None


def revision_name(form: Form, number: int) -> str:
    """`<form>-<8 characters of its uid>-<generation>`: a form that is made anew under its name is another form."""
    return f"{form.metadata.name[:_NAME_MAX]}-{form.metadata.uid[:8]}-{number}"


def revision_object(form: Form) -> dict[str, Any]:
    """The ControllerRevision (apps/v1) of a form as it is now; it goes with the form."""
    metadata = form.metadata
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {
            "name": revision_name(form, metadata.generation),
            "namespace": metadata.namespace,
            "labels": {LABEL_FORM: label_value(metadata.name)},
            "ownerReferences": [
                {
                    "apiVersion": API_VERSION,
                    "kind": "LynqForm",
                    "name": metadata.name,
                    "uid": metadata.uid,
                    "controller": True,
                }
            ],
        },
        "revision": metadata.generation,
        "data": {"spec": content_of(form)},
    }


def parse_revision(raw: Mapping[str, Any]) -> Revision:
    """A live ControllerRevision of ours. Raises InvalidError when it holds no form."""
    metadata = raw["metadata"]
    owner = next((o for o in metadata.get("ownerReferences") or () if o.get("kind") == "LynqForm"), None)
    data = raw.get("data")
    if owner is None or not isinstance(data, dict) or not isinstance(data.get("spec"), dict):
        raise InvalidError(f"ControllerRevision {metadata.get('namespace')}/{metadata['name']} holds no LynqForm")
    number = int(raw.get("revision") or 0)
    document = {
        "kind": "LynqForm",
        "metadata": {
            "name": owner["name"],
            "namespace": metadata.get("namespace", ""),
            "uid": owner["uid"],
            "generation": number,
        },
        "spec": data["spec"],
    }
    form = parse_object(Form, document)
    return Revision(number, _digest(content_of(form)), form)
