"""The catalog as the workers see it: hubs, compiled forms, and the topics and kinds that follow from them.

Fed by: the catalog adapter, which replaces the whole view at each change. Feeds: loop.py, reconcile.py.
Never: changed in place.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from reconciler.core.catalog import Catalog, NodeKey
from reconciler.core.render import CompiledForm
from shared.model.form import Form
from shared.model.hub import Hub

__all__ = ["CatalogView", "ViewHolder"]


@dataclass(frozen=True, slots=True)
class CatalogView:
    """One snapshot; forms are compiled once a generation."""

    catalog: Catalog
    compiled: Mapping[tuple[str, str], CompiledForm] = field(default_factory=dict)
    topics: Mapping[str, tuple[Hub, ...]] = field(default_factory=dict)

    @classmethod
    def empty(cls) -> CatalogView:
        """Before the first list."""
        return cls(Catalog(prefix=""))

    def of(self, key: NodeKey) -> tuple[CompiledForm, Hub] | None:
        """The compiled form and the hub of a node; None when either is gone."""
        found = self.catalog.form_and_hub(key)
        compiled = self.compiled.get((key.namespace, key.form)) if found else None
        return (compiled, found[1]) if compiled and found else None

    def forms_of(self, hub: Hub) -> tuple[Form, ...]:
        """The forms of a hub."""
        return self.catalog.forms_of(hub)


class ViewHolder:
    """The current view; listeners hear of each new one, with the one before it."""

    def __init__(self, view: CatalogView) -> None:
        self._lock = threading.Lock()
        self._view = view
        self._listeners: list[Callable[[CatalogView, CatalogView], None]] = []

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
