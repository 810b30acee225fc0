"""The generations of each form, kept as ControllerRevisions: watched, made for each new spec, looked for by name.

Fed by: the API server, the catalog (forms as they are now), nodes that name a generation that is not known here. Feeds:
the catalog's view. Never: keeps a form from being used because its revision cannot be written, or removes one (the
coordinator does).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import structlog

from reconciler.core.catalog import NodeKey
from reconciler.core.revision import (
    History,
    Revision,
    newest,
    parse_revision,
    revision_name,
    revision_object,
    revision_of,
)
from shared.errors import ClusterError, ClusterRefused, InvalidError, ObjectConflict, ObjectNotFound
from shared.kube import FORMS, REVISIONS, KubeClient
from shared.kube_watch import EventType, Reflector
from shared.model.form import Form
from shared.model.names import LABEL_FORM

__all__ = ["Revisions"]

log = structlog.get_logger(__name__)

_FormKey = tuple[str, str]
_Answer = tuple[History, Mapping[int, Form]]
_Place = tuple[str, str]
"""(namespace, name) of a ControllerRevision."""


class Revisions:
    """Thread-safe; `on_change` is called, from any thread, when `of` may answer something else."""

    def __init__(self, client: KubeClient, on_change: Callable[[], None]) -> None:
        self._client = client
        self._on_change = on_change
        self._lock = threading.Lock()
        self._held: dict[str, dict[_Place, Revision]] = {}
        """By uid of the form."""
        self._uids: dict[_Place, str] = {}
        self._answers: dict[_FormKey, tuple[object, _Answer]] = {}
        """What was answered last, and from what: most of the forms are the same at each look."""
        self._wanted: set[tuple[_FormKey, int]] = set()
        self._lost: dict[tuple[_FormKey, str], set[int]] = {}
        """(form, its uid) → generations that were looked for in vain."""
        self._unwritten: set[_FormKey] = set()
        self._reflector = Reflector(
            client, REVISIONS, self._on_revision, namespace=client.namespace, label_selector=LABEL_FORM
        )
        self.synced = self._reflector.synced

    def start(self) -> None:
        """Begin to watch."""
        self._reflector.start()

    def stop(self) -> None:
        """End."""
        self._reflector.stop()

    def look_for(self, key: NodeKey, generation: int) -> None:
        """A node names this generation of its form: have it looked for."""
        with self._lock:
            self._wanted.add((key[:2], generation))
        self._on_change()

    @property
    def is_unwritten(self) -> bool:
        """Whether a revision is still to be written: ask again after a while."""
        with self._lock:
            return bool(self._unwritten)

    def of(self, form: Form) -> _Answer:
        """The form's history, and its form at each generation, without status; one that is new is written first."""
        self._look(form)
        with self._lock:
            found = {r.number: r for r in self._held.get(form.metadata.uid, {}).values()}
            lost = frozenset(self._lost.get((form.key, form.metadata.uid), ()))
            mark = form.metadata.uid, form.metadata.generation, found, lost
            known = self._answers.get(form.key)
            if known is not None and known[0] == mark and form.key not in self._unwritten:
                return known[1]
        answer = self._answer(form, found, lost)
        with self._lock:
            self._answers[form.key] = mark, answer  # with the revision that was written now: it may go at once
        return answer

    def _answer(self, form: Form, found: dict[int, Revision], lost: frozenset[int]) -> _Answer:
        """From what is `found`, to which a revision that had to be written is added."""
        current = newest(form, found.values())
        if current is None:
            current = self._written(form)
            found[current.number] = current
        history = History(current.number, {number: r.digest for number, r in found.items()}, lost - found.keys())
        return history, {number: r.under(form) for number, r in found.items()}

    def forget(self, forms: Mapping[_FormKey, Form]) -> None:
        """These are the forms that there are; what was remembered of others is dropped."""
        with self._lock:
            self._wanted = {wish for wish in self._wanted if wish[0] in forms}
            self._unwritten &= forms.keys()
            uids = {(key, form.metadata.uid) for key, form in forms.items()}
            self._lost = {key: numbers for key, numbers in self._lost.items() if key in uids}
            self._answers = {key: answer for key, answer in self._answers.items() if key in forms}

    # ------------------------------------------------------------------------------------------------------------

    def _written(self, form: Form) -> Revision:
        revision = revision_of(form)
        try:
            self._create(form)
        except ClusterError as error:
            log.warning("form revision cannot be written, trying again", form="/".join(form.key), error=str(error))
            with self._lock:
                self._unwritten.add(form.key)
            return revision
        with self._lock:
            self._unwritten.discard(form.key)
        return revision

    def _create(self, form: Form) -> None:
        try:
            self._keep(self._client.create(REVISIONS, revision_object(form)))
        except ObjectConflict:
            self._fetch(form, form.metadata.generation)  # another reconciler was faster

    def _look(self, form: Form) -> None:
        """Look for the generations that nodes have asked for; those in the form's future come with the form."""
        with self._lock:
            wanted = {number for key, number in self._wanted if key == form.key}
            self._wanted = {wish for wish in self._wanted if wish[0] != form.key}
        for number in sorted(wanted):
            try:
                if not self._is_ahead(form, number) and not self._fetch(form, number):
                    log.warning("form revision is lost, its nodes take the newest generation",
                                form="/".join(form.key), generation=number)  # fmt: skip
                    with self._lock:
                        self._lost.setdefault((form.key, form.metadata.uid), set()).add(number)
            except ClusterError as error:
                log.warning("form revision cannot be read", form="/".join(form.key), error=str(error))

    def _is_ahead(self, form: Form, number: int) -> bool:
        """Whether the cluster's form has got that far, and only what is known here is older."""
        if number <= form.metadata.generation:
            return False
        live = self._client.get(FORMS, *form.key)["metadata"]
        return bool(live.get("uid") != form.metadata.uid or int(live.get("generation") or 0) >= number)

    def _fetch(self, form: Form, number: int) -> bool:
        try:
            self._keep(self._client.get(REVISIONS, form.key[0], revision_name(form, number)))
        except (ObjectNotFound, ClusterRefused):  # without the right to read it, it is as good as lost
            return False
        return True

    def _on_revision(self, event: EventType, raw: dict[str, Any]) -> None:
        if event is EventType.DELETED:
            with self._lock:
                self._held.get(self._uids.pop(_place(raw), ""), {}).pop(_place(raw), None)
        else:
            self._keep(raw)
        self._on_change()

    def _keep(self, raw: Mapping[str, Any]) -> None:
        try:
            revision = parse_revision(raw)
        except InvalidError as error:
            log.warning("form revision cannot be read, it is left out", error=str(error))
            return
        with self._lock:
            uid = revision.form.metadata.uid
            self._uids[_place(raw)] = uid
            self._held.setdefault(uid, {})[_place(raw)] = revision


def _place(raw: Mapping[str, Any]) -> _Place:
    metadata = raw["metadata"]
    return metadata.get("namespace", ""), metadata["name"]
