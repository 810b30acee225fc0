"""The hubs and forms of the cluster as one immutable snapshot, and what they mean for topics and nodes.

Fed by: the catalog watch. Feeds: subscription, fan-out of a row to its nodes, kinds to watch. Never: performs I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from shared.model.form import Form
from shared.model.hub import Hub
from shared.model.names import node_name

__all__ = ["Catalog", "NodeKey"]


class NodeKey(NamedTuple):
    """One row × one form. Namespace is the form's and the hub's."""

    namespace: str
    form: str
    uid: str

    @property
    def name(self) -> str:
        """Name of the LynqNode."""
        return node_name(self.uid, self.form)

    def __str__(self) -> str:
        """`LynqNode shop/acme-web`."""
        return f"LynqNode {self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Catalog:
    """Hubs and forms by (namespace, name); `topics` maps each change topic to the hubs that read it."""

    prefix: str
    hubs: Mapping[tuple[str, str], Hub] = field(default_factory=dict)
    forms: Mapping[tuple[str, str], Form] = field(default_factory=dict)
    earlier: Mapping[tuple[str, str, int], Form] = field(default_factory=dict)
    """(namespace, form, generation) → the form as of then, for the generations that nodes may still name."""
    unreadable: frozenset[tuple[str, str, str]] = frozenset()
    """(kind, namespace, name) of hubs and forms that exist and cannot be read: what they mean is not known."""

    def topics(self) -> Mapping[str, tuple[Hub, ...]]:
        """Change topic → hubs, ordered by key; hubs that no form uses still count (their forms may come)."""
        found: dict[str, list[Hub]] = {}
        for key in sorted(self.hubs):
            hub = self.hubs[key]
            topic = hub.topic(self.prefix)
            if topic:
                found.setdefault(topic, []).append(hub)
        return {topic: tuple(hubs) for topic, hubs in found.items()}

    def forms_of(self, hub: Hub) -> tuple[Form, ...]:
        """The forms that name the hub, by name."""
        return tuple(self.forms[key] for key in sorted(self.forms) if self.forms[key].hub_key == hub.key)

    def form_and_hub(self, key: NodeKey) -> tuple[Form, Hub] | None:
        """What a node is made from; None when either is gone."""
        form = self.forms.get((key.namespace, key.form))
        hub = self.hubs.get(form.hub_key) if form else None
        return (form, hub) if form and hub else None

    def is_unclear(self, key: NodeKey) -> bool:
        """Whether the node's form or hub exists but cannot be read: nothing may be concluded from its absence here."""
        form = self.forms.get((key.namespace, key.form))
        if form is None:
            return ("LynqForm", key.namespace, key.form) in self.unreadable
        return form.hub_key not in self.hubs and ("LynqHub", *form.hub_key) in self.unreadable

    def kinds(self) -> frozenset[tuple[str, str]]:
        """(apiVersion, kind) of every resource of every form, as it is and as it was."""
        found = set()
        for form in (*self.forms.values(), *self.earlier.values()):
            for typed, resource in form.spec.resources():
                whole = "apiVersion" in resource.spec and "kind" in resource.spec
                found.add(
                    (str(resource.spec["apiVersion"]), str(resource.spec["kind"]))
                    if whole
                    else (typed.api_version, typed.kind)
                )
        return frozenset(kind for kind in found if all(kind) and "{" not in kind[0] + kind[1])
