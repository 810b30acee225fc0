"""Which names, labels and annotations the API server takes.

Fed by: rendered objects. Feeds: findings. Never: looks at anything but metadata.
Source of the rules: Kubernetes, "Object Names and IDs", "Labels and Selectors", "Annotations"; RFC 1123, RFC 1035.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from reconciler.core.leaf import visible

__all__ = ["annotation_faults", "is_label_value", "label_faults", "name_fault"]

_LABEL_1123: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_LABEL_1035: Final = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_NAME_PART: Final = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_PATH_SEGMENT: Final = re.compile(r"(?!\.\.?$)[^/%]+")
_ANNOTATIONS_MAX_BYTES: Final = 256 * 1024

_RULES: Final[Mapping[str, tuple[re.Pattern[str], int, str]]] = {
    "Service": (_LABEL_1035, 63, "lower-case letters, digits and '-', first a letter"),
    "Namespace": (_LABEL_1123, 63, "lower-case letters, digits and '-', at both ends no '-'"),
    "CronJob": (_SUBDOMAIN, 52, "lower-case letters, digits, '-' and '.', letters or digits at both ends"),
    "Job": (_SUBDOMAIN, 63, "lower-case letters, digits, '-' and '.', letters or digits at both ends"),
}
_OTHERS: Final = (_SUBDOMAIN, 253, "lower-case letters, digits, '-' and '.', letters or digits at both ends")
_RBAC: Final = (_PATH_SEGMENT, 253, "anything but '/' and '%'")


def name_fault(api_version: str, kind: str, name: str) -> str | None:
    """Why the name is not legal for an object of this kind, or None."""
    built_in = "." not in api_version.rpartition("/")[0] or api_version.endswith(".k8s.io/v1")
    rule = _RBAC if api_version.startswith("rbac.authorization.k8s.io/") else _OTHERS
    pattern, longest, words = _RULES.get(kind, rule) if built_in else rule
    if len(name) > longest:
        return f"has {len(name)} characters, {kind} names have at most {longest}"
    if not pattern.fullmatch(name):
        return f"is not legal for kind {kind}: {words}"
    return None


def is_label_value(text: str) -> bool:
    """Whether a label may have this value."""
    return not text or (len(text) <= 63 and _NAME_PART.fullmatch(text) is not None)


def label_faults(labels: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """(key, what is wrong with it or its value) of each label that the API server would refuse."""
    for key, value in labels.items():
        fault = _key_fault(key)
        text = str(value)
        if fault:
            yield key, fault
        elif len(text) > 63:
            yield key, f"its value has {len(text)} characters, labels have at most 63"
        elif not is_label_value(text):
            words = "letters, digits, '-', '_' and '.', letters or digits at both ends"
            yield key, f"its value {visible(text)} is not legal: {words}"


def annotation_faults(annotations: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """(key, what is wrong) of each annotation that the API server would refuse; an empty key for their sum."""
    for key in annotations:
        fault = _key_fault(key)
        if fault:
            yield key, fault
    size = sum(len(key.encode()) + len(str(value).encode()) for key, value in annotations.items())
    if size > _ANNOTATIONS_MAX_BYTES:
        yield "", f"annotations have {size} bytes together, at most {_ANNOTATIONS_MAX_BYTES} are possible"


def _key_fault(key: str) -> str | None:
    prefix, slash, name = key.rpartition("/")
    if slash and (len(prefix) > 253 or not _SUBDOMAIN.fullmatch(prefix)):
        return "the part of its key before '/' is no DNS name"
    if len(name) > 63 or not _NAME_PART.fullmatch(name):
        return "its key is not legal: at most 63 letters, digits, '-', '_' and '.'"
    return None
