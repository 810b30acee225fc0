"""The hubs and forms of some files, and what keeps others from being read: every field that is wrong, not the first.

Fed by: documents.py. Feeds: the commands. Never: performs I/O; judges only what the API server would refuse or drop.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Generic, TypeVar

from pydantic import ValidationError

from reconciler.authoring.documents import Document, parse_documents
from reconciler.core.validation import Finding, Severity
from reconciler.core.validation.items import did_you_mean
from shared.model.api import ApiModel
from shared.model.crd import CRD_SPECS, crd
from shared.model.form import Form
from shared.model.hub import Hub
from shared.model.names import API_VERSION, GROUP

__all__ = ["Authored", "Bundle", "Located", "read_bundle"]

_M = TypeVar("_M", Form, Hub)
_MODELS: Final[Mapping[str, type[ApiModel]]] = {"LynqHub": Hub, "LynqForm": Form}
_PASSED_OVER: Final = frozenset(("LynqNode",))


@dataclass(frozen=True, slots=True)
class Located:
    """A finding and the place in a file that it is about."""

    finding: Finding
    file: str
    """As it was named on the command line; empty for an object of the cluster."""
    line: int
    """From 1; 0 when no place can be named."""
    column: int = 0
    """From 1; 0 when the whole line is meant."""

    def order(self) -> tuple[str, int, int]:
        """By file and line."""
        return self.file, self.line, self.column

    @property
    def place(self) -> str:
        """`form.yaml:12`, `form.yaml:12:3`."""
        return ":".join([self.file, *(str(number) for number in (self.line, self.column) if number)])


@dataclass(frozen=True, slots=True)
class Authored(Generic[_M]):
    """A hub or form and the document that it was written in."""

    object: _M
    document: Document

    def locate(self, finding: Finding) -> Located:
        """The finding with the line of its path."""
        return Located(finding, self.document.file, self.document.line_of(finding.path))


@dataclass(frozen=True, slots=True)
class Bundle:
    """What the files hold."""

    hubs: tuple[Authored[Hub], ...]
    forms: tuple[Authored[Form], ...]
    problems: tuple[Located, ...]
    """What cannot be read, and fields that have no meaning."""

    def hub_of(self, form: Form) -> Authored[Hub] | None:
        """The form's hub."""
        return next((hub for hub in self.hubs if hub.object.key == form.hub_key), None)

    def forms_of(self, hub: Hub) -> tuple[Form, ...]:
        """The forms that use the hub."""
        return tuple(entry.object for entry in self.forms if entry.object.hub_key == hub.key)


def read_bundle(files: Iterable[tuple[str, str]], namespace: str) -> Bundle:
    """The hubs and forms among the objects of (name, text); objects of other kinds are passed over.

    Those that name no namespace get `namespace`.
    """
    hubs: list[Authored[Hub]] = []
    forms: list[Authored[Form]] = []
    problems: list[Located] = []
    for name, text in files:
        documents, faults = parse_documents(text, name)
        for fault in faults:
            finding = _error("InvalidYAML", fault.file, fault.text)
            problems.append(Located(finding, fault.file, fault.line, fault.column))
        for document in documents:
            found, findings = _read(document, namespace)
            problems += [Located(f, document.file, document.line_of(f.path)) for f in findings]
            if isinstance(found, Hub):
                hubs.append(Authored(found, document))
            elif isinstance(found, Form):
                forms.append(Authored(found, document))
    problems += [*_twice(hubs), *_twice(forms)]
    return Bundle(tuple(hubs), tuple(forms), tuple(sorted(problems, key=Located.order)))


def _read(document: Document, namespace: str) -> tuple[ApiModel | None, list[Finding]]:
    """(hub or form, what is wrong with it); nothing for an object of another kind."""
    value = document.value
    api_version, kind = str(value.get("apiVersion", "")), str(value.get("kind", ""))
    ours = api_version.partition("/")[0] == GROUP
    if kind in _PASSED_OVER or not (ours or kind in _MODELS):
        return None, []
    metadata = _metadata(value, namespace)
    subject = f"{kind} {metadata.get('namespace')}/{metadata.get('name', '?')}"
    if kind not in _MODELS:
        mend = did_you_mean(kind, _MODELS)
        return None, [_error("KindUnknown", subject, f"{api_version} has no kind {kind!r}", "kind", mend)]
    if api_version != API_VERSION:
        text = f"apiVersion is {api_version!r}, rowplane reads {API_VERSION}"
        return None, [_error("VersionUnknown", subject, text, "apiVersion")]
    written = {key: inner for key, inner in value.items() if key != "status"}
    pruned, unknown = _admit({**written, "metadata": metadata}, _schema(kind), "", subject)
    try:
        return _MODELS[kind].model_validate_json(json.dumps(pruned), strict=True), unknown
    except ValidationError as error:
        details = error.errors(include_input=False, include_url=False, include_context=False)
        return None, [*unknown, *(_field_error(subject, d["loc"], d["msg"]) for d in details)]


def _field_error(subject: str, loc: tuple[int | str, ...], message: str) -> Finding:
    path = ""
    for part in loc:
        path += f"[{part}]" if isinstance(part, int) else f".{part}"
    path = path.removeprefix(".")
    return _error("FieldInvalid", subject, f"{path}: {message[0].lower()}{message[1:]}", path)


def _admit(value: Any, schema: Mapping[str, Any], path: str, subject: str) -> tuple[Any, list[Finding]]:
    """(the value as the API server would store it, unknown fields): a null is as good as no field, unknown ones go."""
    found: list[Finding] = []
    if isinstance(value, list):
        parts = [_admit(v, schema.get("items") or {}, f"{path}[{i}]", subject) for i, v in enumerate(value)]
        return [part for part, _ in parts], [finding for _, inner in parts for finding in inner]
    properties = schema.get("properties")
    if not isinstance(value, dict) or properties is None or schema.get("x-kubernetes-preserve-unknown-fields"):
        return value, []
    kept: dict[str, Any] = {}
    for key, inner in value.items():
        where = f"{path}.{key}" if path else key
        if key not in properties:
            text = f"{path or 'the object'} has no field {key}"
            found.append(_error("FieldUnknown", subject, text, where, did_you_mean(key, properties) or "take it out"))
        elif inner is not None:
            kept[key], below = _admit(inner, properties[key], where, subject)
            found += below
    return kept, found


@cache
def _schema(kind: str) -> Mapping[str, Any]:
    """The kind's schema, as its CRD has it."""
    spec = next(entry for entry in CRD_SPECS if entry.kind == kind)
    schema: Mapping[str, Any] = crd(spec)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


def _twice(entries: Iterable[Authored[Any]]) -> Iterator[Located]:
    first: dict[tuple[str, str], Authored[Any]] = {}
    for entry in entries:
        known = first.setdefault(entry.object.key, entry)
        if known is not entry:
            subject = f"Lynq{type(entry.object).__name__} {'/'.join(entry.object.key)}"
            place = f"{known.document.file}:{known.document.line}"
            yield entry.locate(_error("DuplicateObject", subject, f"is already defined at {place}", "metadata.name"))


def _metadata(value: Mapping[str, Any], namespace: str) -> dict[str, Any]:
    """What the object says of itself, in the namespace that it names or gets."""
    given = value.get("metadata")
    named = {key: inner for key, inner in given.items() if inner is not None} if isinstance(given, dict) else {}
    return {**named, "namespace": named.get("namespace") or namespace}


def _error(reason: str, subject: str, text: str, path: str = "", mend: str = "") -> Finding:
    return Finding(Severity.ERROR, reason, subject, text, path=path, mend=mend)
