"""What is wrong with rendered objects: names, labels, selectors, and two that are the same.

Fed by: the objects of one sample row. Feeds: samples.py. Never: judges what only the API server can know.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from reconciler.core.leaf import visible
from reconciler.core.objects import DesiredObject
from reconciler.core.validation.names import annotation_faults, label_faults, name_fault
from shared.model.names import ANNOTATION_DELETION_POLICY, LABEL_NODE, LABEL_NODE_NAMESPACE, LABEL_SHARD

__all__ = ["Fault", "faults", "same_objects", "selects_nothing"]

_OURS: Final = frozenset((LABEL_NODE, LABEL_NODE_NAMESPACE, LABEL_SHARD, ANNOTATION_DELETION_POLICY))
_WITH_SELECTOR: Final = frozenset(("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"))


class Fault(NamedTuple):
    """What is wrong with one object, at one place of it."""

    reason: str
    at: str
    """Which place: `name`, `label app`; the same for every row."""
    text: str
    """Goes on after `resource x`."""


def faults(item: DesiredObject) -> Iterator[Fault]:
    """Everything about this object that the API server would refuse, as far as metadata and selectors tell."""
    metadata = item.manifest["metadata"]
    api_version, kind, namespace, name = item.ref
    wrong = name_fault(api_version, kind, name)
    if wrong:
        yield Fault("NameInvalid", "name", f"gets the name {visible(name)}, which {wrong}")
    if namespace and name_fault("v1", "Namespace", namespace):
        yield Fault("NamespaceInvalid", "namespace", f"goes to namespace {visible(namespace)}, which is no legal name")
    labels = {key: value for key, value in metadata["labels"].items() if key not in _OURS}
    annotations = {key: value for key, value in metadata["annotations"].items() if key not in _OURS}
    for key, text in label_faults(labels):
        yield Fault("LabelInvalid", f"label {key}", f"has label {visible(key)}: {text}")
    for key, text in annotation_faults(annotations):
        yield Fault("AnnotationInvalid", f"annotation {key}", f"has annotation {visible(key)}: {text}")
    yield from _pod_labels(item)


def _pod_labels(item: DesiredObject) -> Iterator[Fault]:
    labels = pod_labels(item)
    if labels is None:
        return
    for key, text in label_faults(labels):
        yield Fault("LabelInvalid", f"pod label {key}", f"has pod label {visible(key)}: {text}")
    selector = _at(item.manifest, "spec", "selector", "matchLabels")
    if item.ref.kind not in _WITH_SELECTOR or not isinstance(selector, dict):
        return
    for key, value in selector.items():
        if labels.get(key) != value:
            found = f"are {visible(str(labels[key]))} there" if key in labels else "have no such label"
            text = f"selects pods by {key}={value}, but the pods of its own template {found}"
            yield Fault("SelectorMismatch", f"selector {key}", text)


def pod_labels(item: DesiredObject) -> Mapping[str, Any] | None:
    """Labels of the pods that a workload makes; None where it makes none."""
    if item.ref.kind == "Pod":
        return dict(item.manifest["metadata"]["labels"])
    template = _at(item.manifest, "spec", "jobTemplate", "spec", "template") or _at(item.manifest, "spec", "template")
    if not isinstance(template, dict) or "spec" not in template:
        return None
    labels = _at(template, "metadata", "labels")
    return labels if isinstance(labels, dict) else {}


def same_objects(rendered: Sequence[DesiredObject]) -> Iterator[tuple[DesiredObject, DesiredObject]]:
    """Pairs (first, later) of resources that are the same object: group, kind, namespace and name."""
    seen: dict[tuple[str, ...], DesiredObject] = {}
    for item in rendered:
        api_version, kind, namespace, name = item.ref
        first = seen.setdefault((api_version.rpartition("/")[0], kind, namespace, name), item)
        if first is not item:
            yield first, item


def selects_nothing(rendered: Sequence[DesiredObject], also: Sequence[DesiredObject]) -> Iterator[DesiredObject]:
    """Services whose selector picks no workload of the same rendering.

    `also` is a second rendering with other values: labels that differ between the two depend on the row and match
    anything; the same rendering twice makes every label count.
    """
    other = {item.id: item for item in also}
    workloads = [
        (item.ref.namespace, labels, pod_labels(other.get(item.id, item)) or {})
        for item in rendered
        if (labels := pod_labels(item)) is not None
    ]
    for item in rendered:
        selector = _at(item.manifest, "spec", "selector")
        if item.ref.kind != "Service" or not isinstance(selector, dict) or not selector:
            continue
        twin = _at(other.get(item.id, item).manifest, "spec", "selector") or {}
        fixed = {key: value for key, value in selector.items() if twin.get(key) == value}
        near = [pair for pair in workloads if pair[0] == item.ref.namespace]
        if near and not any(_picks(fixed, labels, varied) for _, labels, varied in near):
            yield item


def _picks(selector: Mapping[str, Any], labels: Mapping[str, Any], varied: Mapping[str, Any]) -> bool:
    return all(
        labels.get(key) == value or (key in labels and varied.get(key) != labels[key])
        for key, value in selector.items()
    )


def _at(node: Any, *keys: str) -> Any:
    for key in keys:
        node = node.get(key) if isinstance(node, dict) else None
    return node
