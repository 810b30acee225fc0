"""The catalog as the workers see it: hubs, compiled forms, and the topics and kinds that follow from them.

Fed by: the catalog adapter, which replaces the whole view at each change. Feeds: loop.py, reconcile.py.
Never: changed in place.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from reconciler.core import rollout
from reconciler.core.catalog import Catalog, NodeKey
from reconciler.core.readers import Present
from reconciler.core.record import ObservedNode
from reconciler.core.render import CompiledForm
from reconciler.core.revision import History
from shared.model.form import Form
from shared.model.hub import Hub

__all__ = ["CatalogView", "ViewHolder"]


@dataclass(frozen=True, slots=True)
class CatalogView:
    """One snapshot; forms are compiled once a revision."""

    catalog: Catalog
    compiled: Mapping[tuple[str, str], CompiledForm] = field(default_factory=dict)
    """(namespace, form) → its newest revision."""
    topics: Mapping[str, tuple[Hub, ...]] = field(default_factory=dict)
    histories: Mapping[tuple[str, str], History] = field(default_factory=dict)
    """(namespace, form) → what is known of its generations; a form that is not in here has its newest one alone."""
    earlier: Mapping[tuple[str, str, int], CompiledForm] = field(default_factory=dict)
    """(namespace, form, generation) → that revision, for all that nodes may still name."""

    _readers: dict[str, Present] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def empty(cls) -> CatalogView:
        """Before the first list."""
        return cls(Catalog(prefix=""))

    def of(self, key: NodeKey, node: ObservedNode | None = None) -> tuple[CompiledForm, Hub] | None:
        """The form that the node is to be rendered from now, and the hub; None when either is gone.

        A node whose generation is unknown here has none to be rendered from: see `unknown`.
        """
        found = self.catalog.form_and_hub(key)
        compiled = self._compiled(key, node) if found else None
        return (compiled, found[1]) if compiled and found else None

    def hub_of(self, key: NodeKey, node: ObservedNode | None) -> Hub | None:
        """The node's hub: that of its form, or, without one, the hub that the LynqNode names."""
        form = self.catalog.forms.get((key.namespace, key.form))
        name = form.spec.hub_id if form else (node.hub if node else "")
        return self.catalog.hubs.get((key.namespace, name))

    def unknown(self, key: NodeKey, node: ObservedNode | None) -> int | None:
        """The generation that the node names, if it is yet to be looked for; None when there is nothing to look for."""
        is_unknown = self.catalog.form_and_hub(key) is not None and self._given(key, node) is None
        return node.form_generation if node is not None and is_unknown else None

    def _given(self, key: NodeKey, node: ObservedNode | None) -> int | None:
        history = self.histories.get((key.namespace, key.form))
        if history is None:
            return 0
        form = self.catalog.forms[key.namespace, key.form]
        return rollout.given(form, history, node.form_generation if node is not None else 0, key.name)

    def _compiled(self, key: NodeKey, node: ObservedNode | None) -> CompiledForm | None:
        newest = self.compiled.get((key.namespace, key.form))
        number = self._given(key, node)
        if number is None:
            return None
        return self.earlier.get((key.namespace, key.form, number), newest)

    def forms_of(self, hub: Hub) -> tuple[Form, ...]:
        """The forms of a hub."""
        return self.catalog.forms_of(hub)

    def readers(self, topic: str) -> Present:
        """The forms that get the rows of a topic; computed once."""
        found = self._readers.get(topic)
        if found is None:
            hubs = self.topics.get(topic, ())
            forms = ((form.metadata.uid, hub.mapping_digest) for hub in hubs for form in self.forms_of(hub))
            found = self._readers[topic] = Present.of(forms)
        return found

    def changed_forms(self, before: CatalogView) -> frozenset[tuple[str, str]]:
        """(namespace, form) of all whose nodes may be something else than in the view before this one."""
        forms = self.catalog.forms.keys() | before.catalog.forms.keys()
        return frozenset(key for key in forms if self._parts(key) != before._parts(key))

    def _parts(self, key: tuple[str, str]) -> tuple[object, ...]:
        """Identities: what has not changed is the same object in both views."""
        form = self.catalog.forms.get(key)
        hub = self.catalog.hubs.get(form.hub_key) if form else None
        is_unclear = self.catalog.is_unclear(NodeKey(*key, ""))
        return id(form), id(hub), id(self.compiled.get(key)), self.histories.get(key), is_unclear


class ViewHolder:
    """The current view; listeners hear of each new one, with the one before it."""

    def __init__(self, view: CatalogView) -> None:
        self._lock = threading.Lock()
        self._view = view
        self._listeners: list[Callable[[CatalogView, CatalogView], None]] = []
        self.look_for: Callable[[NodeKey, int], None] = lambda _key, _generation: None
        """Asks for a generation of a form that a node names and the view does not know; a view that does follows."""

    @property
    def view(self) -> CatalogView:
        """The newest view."""
        return self._view

    def listen(self, listener: Callable[[CatalogView, CatalogView], None]) -> None:
        """`listener(before, after)` runs in the thread that publishes."""
        self._listeners.append(listener)

    def publish(self, view: CatalogView) -> None:
        """Replace the view."""
        with self._lock:
            before, self._view = self._view, view
        for listener in self._listeners:
            listener(before, view)
