"""A form taken apart for checking: its resources with their places, and every template text in them.

Fed by: parsed forms. Feeds: the checks of this package, `rowplane explain`. Never: renders.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from pydantic.alias_generators import to_camel

from reconciler.core.leaf import key_path
from reconciler.core.render import NO_SPEC
from reconciler.core.validation.report import Finding, Severity
from shared.model.form import ARRAYS, CreationPolicy, Form, TResource, Typed

__all__ = ["Item", "Place", "Text", "did_you_mean", "items", "subject_of", "texts"]


class Item(NamedTuple):
    """One resource of a form."""

    typed: Typed
    resource: TResource
    path: str
    """Where it stands: `spec.deployments[0]`."""
    array: str
    """`deployments`."""
    subject: str
    """The form: `LynqForm shop/web`."""

    @property
    def label(self) -> str:
        """How texts name it: its id, else its place."""
        return f"resource {self.resource.id}" if self.resource.id else self.path

    @property
    def is_whole(self) -> bool:
        """Whether its spec is a whole object, with apiVersion and kind of its own."""
        return "apiVersion" in self.resource.spec and "kind" in self.resource.spec

    @property
    def has_own_spec(self) -> bool:
        """Whether the item's spec is the object itself; else it is the object's spec."""
        return self.is_whole or self.typed.kind in NO_SPEC

    @property
    def type(self) -> tuple[str, str]:
        """(apiVersion, kind): its own, else what its list implies; texts may hold actions, or be empty."""
        if self.is_whole:
            return str(self.resource.spec["apiVersion"]), str(self.resource.spec["kind"])
        return self.typed.api_version, self.typed.kind

    def place_of(self, what: str) -> str:
        """The path below the resource that makes its `name`, `namespace`, `label x` or `annotation x`."""
        resource, (kind, _, key) = self.resource, what.partition(" ")
        match kind:
            case "name":
                return ".nameTemplate" if resource.name_template else ".spec.metadata.name"
            case "namespace":
                return ".targetNamespace" if resource.target_namespace else ".spec.metadata.namespace"
            case "label":
                given = key in resource.labels_template
                return key_path(".labelsTemplate" if given else ".spec.metadata.labels", key)
            case "annotation" if key:
                given = key in resource.annotations_template
                return key_path(".annotationsTemplate" if given else ".spec.metadata.annotations", key)
            case _:
                return ".spec"

    def document_path(self, path: str) -> str:
        """The path below the resource of a place in its object: `spec.replicas` → `.spec.replicas`."""
        if path in ("metadata.name", "metadata.namespace"):
            return self.place_of(path.removeprefix("metadata."))
        for prefix, name, templates in (
            ("metadata.labels", ".labelsTemplate", self.resource.labels_template),
            ("metadata.annotations", ".annotationsTemplate", self.resource.annotations_template),
        ):
            if any(path == key_path(prefix, key) for key in templates):
                return name + path.removeprefix(prefix)
        in_spec = path == "spec" or path.startswith(("spec.", "spec["))
        return f".{path}" if in_spec and not self.has_own_spec else f".spec.{path}"

    def without_label(self, text: str) -> str:
        """A text that may begin with the label, to go on after it."""
        return text.removeprefix(self.label).removeprefix(":").lstrip()

    def finding(self, severity: Severity, reason: str, text: str, at: str = "", mend: str = "") -> Finding:
        """`text` goes on after the label; `at` is a path below the resource (`.spec.kind`), or a whole one."""
        path = at if at.startswith("spec.") else self.path + at
        return Finding(severity, reason, self.subject, f"{self.label} {text}", self.resource.id, path, mend)

    def error(self, reason: str, text: str, at: str = "", mend: str = "") -> Finding:
        """What keeps the form from being used."""
        return self.finding(Severity.ERROR, reason, text, at, mend)

    def warning(self, reason: str, text: str, at: str = "", mend: str = "") -> Finding:
        """What is doubtful."""
        return self.finding(Severity.WARNING, reason, text, at, mend)


class Place(StrEnum):
    """What a template text makes."""

    NAME = "name"
    NAMESPACE = "namespace"
    LABEL = "label"
    ANNOTATION = "annotation"
    BODY = "body"


@dataclass(frozen=True, slots=True)
class Text:
    """One text of a resource that may hold actions."""

    item: Item
    place: Place
    path: str
    """Where in the form it stands: `spec.services[0].labelsTemplate.app`."""
    source: str

    @property
    def may_change(self) -> bool:
        """Whether it may render differently each time: only what is applied once, and never a name."""
        once = self.item.resource.creation_policy is CreationPolicy.ONCE
        return once and self.place not in (Place.NAME, Place.NAMESPACE)


def subject_of(form: Form) -> str:
    """`LynqForm shop/web`."""
    return f"LynqForm {form.metadata.namespace}/{form.metadata.name}"


def items(form: Form) -> Iterator[Item]:
    """The resources of all arrays in collection order."""
    subject = subject_of(form)
    for field, typed in ARRAYS.items():
        array = to_camel(field)
        for index, resource in enumerate(getattr(form.spec, field)):
            yield Item(typed, resource, f"spec.{array}[{index}]", array, subject)


def texts(item: Item) -> Iterator[Text]:
    """Every text of a resource that is rendered, with its place in the form."""
    resource, path = item.resource, item.path
    if resource.name_template:
        yield Text(item, Place.NAME, f"{path}.nameTemplate", resource.name_template)
    if resource.target_namespace:
        yield Text(item, Place.NAMESPACE, f"{path}.targetNamespace", resource.target_namespace)
    for place, name, templates in (
        (Place.LABEL, "labelsTemplate", resource.labels_template),
        (Place.ANNOTATION, "annotationsTemplate", resource.annotations_template),
    ):
        for key, source in templates.items():
            yield Text(item, place, key_path(f"{path}.{name}", key), source)
    for where, source in _strings(resource.spec, f"{path}.spec"):
        yield Text(item, _place_in_body(where.removeprefix(f"{path}.spec."), resource), where, source)


def _strings(value: Any, path: str) -> Iterator[tuple[str, str]]:
    match value:
        case str():
            yield path, value
        case dict():
            for key, inner in value.items():
                yield from _strings(inner, key_path(path, str(key)))
        case list():
            for index, inner in enumerate(value):
                yield from _strings(inner, f"{path}[{index}]")


def _place_in_body(path: str, resource: TResource) -> Place:
    if path == "metadata.name" and not resource.name_template:
        return Place.NAME
    if path == "metadata.namespace" and not resource.target_namespace:
        return Place.NAMESPACE
    return Place.BODY


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`did you mean x?` for the likeliest of the known words, or nothing."""
    near = difflib.get_close_matches(word, sorted(known), n=1)
    return f"did you mean {near[0]}?" if near else ""
