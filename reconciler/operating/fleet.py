"""Hubs, forms and LynqNodes as the commands read them, and the one they mean by a name.

Fed by: the API server of KUBECONFIG. Feeds: the commands' actions. Never: writes anything but annotations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from shared.errors import ObjectNotFound, UsageError
from shared.kube import FORMS, HUBS, LEASES, NODES, KubeClient, ResourceType
from shared.settings import load_kube

__all__ = ["Fleet", "Raw", "annotations_of", "condition_of", "name_of"]

Raw = Mapping[str, Any]
"""An object as the API server holds it."""


def annotations_of(raw: Raw) -> Mapping[str, str]:
    """Its annotations."""
    return raw["metadata"].get("annotations") or {}


def name_of(raw: Raw) -> str:
    """`namespace/name`."""
    return f"{raw['metadata'].get('namespace', '')}/{raw['metadata']['name']}"


def condition_of(raw: Raw, kind: str) -> Raw:
    """The condition of this type; empty when it is not told."""
    return next((c for c in (raw.get("status") or {}).get("conditions") or () if c.get("type") == kind), {})


class Fleet:
    """One namespace, or all. Every method may raise ClusterError."""

    def __init__(self, client: KubeClient, namespace: str = "") -> None:
        self.client = client
        self.namespace = namespace or client.namespace

    @classmethod
    def connect(cls, namespace: str = "") -> Fleet:
        """The cluster of the environment. Raises UsageError when there is no configuration."""
        return cls(KubeClient.connect(load_kube(), pool_size=16), namespace)

    def hubs(self) -> list[Raw]:
        """All hubs, by name."""
        return self._list(HUBS)

    def forms(self) -> list[Raw]:
        """All forms, by name."""
        return self._list(FORMS)

    def nodes(self) -> list[Raw]:
        """All LynqNodes, by name."""
        return self._list(NODES)

    def leases(self) -> list[Raw]:
        """The Leases of rowplane's own processes."""
        found = self.client.list(LEASES, self.client.namespace)[0]
        return sorted((raw for raw in found if raw["metadata"]["name"].startswith("rowplane-")), key=name_of)

    def _list(self, kind: ResourceType) -> list[Raw]:
        return sorted(self.client.list(kind, self.namespace)[0], key=name_of)

    def hub(self, name: str) -> Raw:
        """The hub of this name. Raises UsageError."""
        return _one("hub", name, self.hubs())

    def form(self, name: str) -> Raw:
        """The form of this name. Raises UsageError."""
        return _one("form", name, self.forms())

    def node(self, name: str, form: str = "") -> Raw:
        """The LynqNode of this name, or of this uid (of the `form`, if it has several). Raises UsageError."""
        nodes = [raw for raw in self.nodes() if form in ("", raw["spec"].get("templateRef"))]
        return _one("node", name, nodes, more="; name the form with --form")

    def look(self, kind: ResourceType, namespace: str, name: str) -> Raw | None:
        """An object; None when it does not exist."""
        try:
            return self.client.get(kind, namespace, name)
        except ObjectNotFound:
            return None

    def annotate(self, kind: ResourceType, raw: Raw, marks: Mapping[str, str | None]) -> None:
        """Set annotations, or remove those that are None."""
        metadata = raw["metadata"]
        body = {"metadata": {"annotations": dict(marks)}}
        self.client.merge_patch(kind, metadata.get("namespace", ""), metadata["name"], body)


def _one(word: str, name: str, found: Sequence[Raw], more: str = "") -> Raw:
    """The object that `name` means: `namespace/name`, a name, or a node's uid."""

    def is_meant(raw: Raw) -> bool:
        return name in (name_of(raw), raw["metadata"]["name"], (raw.get("spec") or {}).get("uid"))

    meant = [raw for raw in found if is_meant(raw)]
    if len(meant) == 1:
        return meant[0]
    if meant:
        names = ", ".join(name_of(raw) for raw in meant[:5])
        raise UsageError(f"{word} {name!r} may be any of {names}", mend=f"Give it as namespace/name{more}")
    known = [text for raw in found for text in (raw["metadata"]["name"], (raw.get("spec") or {}).get("uid")) if text]
    close = get_close_matches(name.rpartition("/")[2], known, n=1, cutoff=0.6)
    mend = f"Did you mean {close[0]!r}?" if close else f"There are {len(found)} {word}s; rowplane status shows them"
    raise UsageError(f"there is no {word} {name!r}", mend=mend)
