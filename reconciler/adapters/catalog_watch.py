"""Hubs and forms of all namespaces, kept as the current view; a form is compiled once a generation, and again when
its hub or a type that it uses has changed.

Fed by: watches of LynqHub and LynqForm, the cluster's types. Feeds: ViewHolder, and, where this process is the
coordinator, the `Valid` condition of each form.
Never: lets one bad hub or form keep the others from the view.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import structlog

from reconciler.adapters.openapi import ClusterTypes
from reconciler.adapters.revisions import Revisions
from reconciler.core.catalog import Catalog
from reconciler.core.form_status import form_status
from reconciler.core.render import CompiledForm, compile_form
from reconciler.core.revision import History
from reconciler.core.schema import Schemas
from reconciler.core.validation import Context, Finding, validate_form
from reconciler.view import CatalogView, ViewHolder
from shared.clock import Clock, rfc3339
from shared.errors import ClusterError, InvalidError
from shared.kube import FORMS, HUBS, KubeClient
from shared.kube_watch import EventType, Reflector
from shared.model.api import parse_object
from shared.model.form import Form
from shared.model.hub import Hub
from shared.model.names import API_VERSION, VALIDATION_MANAGER
from shared.supervise import SUPERVISION

__all__ = ["CatalogWatch"]

log = structlog.get_logger(__name__)

_RETRY_S = 2.0
_REVISIONS_S = 10.0
"""At most so long does the first view wait for the forms' generations, should they not be readable."""


class CatalogWatch:
    """Two reflectors and a thread that rebuilds the view after each change."""

    def __init__(self, client: KubeClient, prefix: str, holder: ViewHolder, clock: Clock) -> None:
        self._client = client
        self._prefix = prefix
        self._holder = holder
        self._clock = clock
        self._types = ClusterTypes(client)
        self._lock = threading.Lock()
        self._hubs: dict[tuple[str, str], Hub] = {}
        self._forms: dict[tuple[str, str], Form] = {}
        self._unreadable: set[tuple[str, str, str]] = set()
        self._judged: dict[tuple[str, str], tuple[CompiledForm, tuple[Finding, ...]]] = {}
        self._changed = threading.Event()
        self._types.watch(self._changed.set)
        self._revisions = Revisions(client, self._changed.set)
        holder.look_for = self._revisions.look_for
        self._stop = threading.Event()
        self._watch_hubs = Reflector(client, HUBS, self._on_hub, namespace=client.namespace)
        self._watch_forms = Reflector(client, FORMS, self._on_form, namespace=client.namespace)
        self._thread = SUPERVISION.thread("catalog", self._run, self._stop)
        self.synced = threading.Event()
        """Set once the first complete view is published."""
        self.tells: Callable[[], bool] = lambda: True
        """Whether this process is the one that writes what it finds into the forms."""

    def start(self) -> None:
        """Begin."""
        self._watch_hubs.start()
        self._watch_forms.start()
        self._revisions.start()
        self._thread.start()

    def look_again(self) -> None:
        """Judge and tell anew, though nothing has changed."""
        self._changed.set()

    def stop(self) -> None:
        """End."""
        self._stop.set()
        self._changed.set()
        self._watch_hubs.stop()
        self._watch_forms.stop()
        self._revisions.stop()
        self._types.stop()

    def _on_hub(self, event: EventType, raw: dict[str, Any]) -> None:
        self._keep(self._hubs, Hub, event, raw)

    def _on_form(self, event: EventType, raw: dict[str, Any]) -> None:
        self._keep(self._forms, Form, event, raw)

    def _keep(self, store: dict[tuple[str, str], Any], model: type[Any], event: EventType, raw: dict[str, Any]) -> None:
        metadata = raw["metadata"]
        key = metadata.get("namespace", ""), metadata["name"]
        with self._lock:
            self._unreadable.discard((raw["kind"], *key))
            if event is EventType.DELETED:
                store.pop(key, None)
            else:
                try:
                    store[key] = parse_object(model, raw)
                except InvalidError as error:
                    log.error("object cannot be read, its nodes stay as they are", error=str(error))
                    if key not in store:  # else the last readable version goes on
                        self._unreadable.add((raw["kind"], *key))
        self._changed.set()

    def _run(self) -> None:
        self._revisions.synced.wait(_REVISIONS_S)
        self._changed.set()  # a cluster without hubs and forms is a complete view, too; and so begins what has failed
        while not self._stop.is_set():
            self._changed.wait(_RETRY_S if self._revisions.is_unwritten else self._types.poll_s)
            if not (self._watch_hubs.synced.wait(0.1) and self._watch_forms.synced.wait(0.1)):
                continue
            self._changed.clear()
            if self._stop.is_set():
                return
            try:
                self._rebuild()
                self.synced.set()
            except ClusterError as error:
                log.warning("catalog cannot be rebuilt, trying again", error=str(error))
                self._stop.wait(_RETRY_S)
                self._changed.set()

    def _rebuild(self) -> None:
        with self._lock:
            hubs, forms, unreadable = dict(self._hubs), dict(self._forms), frozenset(self._unreadable)
        self._revisions.forget(forms)
        histories: dict[tuple[str, str], History] = {}
        earlier: dict[tuple[str, str, int], Form] = {}
        for key, form in forms.items():
            histories[key], generations = self._revisions.of(form)
            earlier |= {(*key, number): as_of for number, as_of in generations.items()}
        catalog = Catalog(self._prefix, hubs, forms, earlier, unreadable)
        schemas, _ = self._types.read(catalog.kinds())
        before = self._holder.view.earlier
        every = {
            key: _compiled(before.get(key), form, schemas, hubs.get(form.hub_key)) for key, form in earlier.items()
        }
        compiled = {key: every[*key, history.current] for key, history in histories.items()}
        self._holder.publish(CatalogView(catalog, compiled, catalog.topics(), histories, every))
        self._judge(catalog, compiled, schemas)

    def _judge(self, catalog: Catalog, compiled: Mapping[tuple[str, str], CompiledForm], schemas: Schemas) -> None:
        """Judge the forms that were compiled anew, and tell each what was found."""
        before, self._judged = self._judged, {}
        for key, entry in compiled.items():
            form, known = catalog.forms[key], before.get(key)
            if known is None or known[0] is not entry:
                context = Context(hub=catalog.hubs.get(form.hub_key), schemas=schemas, all_kinds_known=True)
                known = entry, validate_form(form, context, entry)
            self._judged[key] = known
            self._tell(form, known[1])

    def _tell(self, form: Form, findings: Sequence[Finding]) -> None:
        """Write the form's `Valid` condition if it says something else."""
        status = form_status(form, findings, rfc3339(self._clock.wall_s()))
        if status is None or not self.tells():
            return
        body = {
            "apiVersion": API_VERSION,
            "kind": "LynqForm",
            "metadata": {"namespace": form.metadata.namespace, "name": form.metadata.name},
            "status": status,
        }
        try:
            self._client.apply(FORMS, body, manager=VALIDATION_MANAGER, subresource="status")
        except ClusterError as error:
            log.warning("form status cannot be written", form=form.metadata.name, error=str(error))


def _compiled(known: CompiledForm | None, form: Form, schemas: Schemas, hub: Hub | None) -> CompiledForm:
    """Compiled anew if it must be; else the same object, unless the form's rollout or status is another one now."""
    if known is None or not known.is_current(form, schemas, hub):
        return compile_form(form, schemas, hub)
    return known if known.form.spec.rollout == form.spec.rollout else replace(known, form=form)
