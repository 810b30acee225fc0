"""What a hub or form is judged with: the form's hub and the types of its kinds, or the forms that use the hub.

Fed by: the API server. Feeds: admission.py. Never: keeps a writer waiting for long or turns one away because a read has
failed: what could not be looked up is told as a warning, and judged without.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as LateError
from typing import Final, TypeVar

import structlog

from reconciler.adapters.openapi import ClusterTypes
from reconciler.core.catalog import Catalog
from reconciler.core.schema import Schemas
from reconciler.core.validation import Context, Severity
from reconciler.webhook.admission import Surroundings
from shared.clock import Clock, Deadline
from shared.errors import InvalidError, ObjectNotFound, RowplaneError
from shared.kube import FORMS, HUBS, KubeClient
from shared.model.api import parse_object
from shared.model.form import Form
from shared.model.hub import Hub

__all__ = ["Lookup"]

log = structlog.get_logger(__name__)
_T = TypeVar("_T")

_LIMIT_S: Final = 5.0
"""For all reads of one review; the API server waits 10 s for the answer."""
_FRESH_S: Final = 10.0
"""How long types are taken for current."""
_THREADS: Final = 16
_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")


class Lookup:
    """Thread-safe. Reads run in threads of their own, so that one that hangs is left behind."""

    def __init__(self, client: KubeClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="lookup")
        self._types = _Types(client, clock)

    def close(self) -> None:
        """Start no further read."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def of(self, subject: Hub | Form) -> Surroundings:
        """The surroundings; trouble with the cluster is a warning in them."""
        return self._of_form(subject) if isinstance(subject, Form) else self._of_hub(subject)

    def _of_form(self, form: Form) -> Surroundings:
        deadline = Deadline(self._clock, _LIMIT_S)
        hub = self._pool.submit(self._hub, form.hub_key)
        kinds = Catalog("", forms={form.key: form}).kinds()
        types = self._pool.submit(self._types.of, kinds)
        warnings: list[str] = []
        subject = f"LynqHub {form.metadata.namespace}/{form.spec.hub_id}"
        found_hub = _within(deadline, hub, subject, "the use of its variables", warnings)
        schemas = _within(deadline, types, "the cluster's types", "kinds and the types of values", warnings)
        context = Context(
            hub=found_hub,
            schemas=schemas or Schemas(),
            all_kinds_known=schemas is not None,
            absent=Severity.WARNING,
        )
        is_hub_unread = found_hub is None and any(text.startswith(subject) for text in warnings)
        return Surroundings(context, tuple(warnings), frozenset(("HubNotFound",)) if is_hub_unread else frozenset())

    def _of_hub(self, hub: Hub) -> Surroundings:
        deadline = Deadline(self._clock, _LIMIT_S)
        warnings: list[str] = []
        forms = self._pool.submit(self._forms, hub)
        subject = f"forms of namespace {hub.metadata.namespace}"
        found = _within(deadline, forms, subject, "what they need of this hub", warnings)
        return Surroundings(Context(hub=hub, siblings=found or {}, absent=Severity.WARNING), tuple(warnings))

    def _hub(self, key: tuple[str, str]) -> Hub | None:
        """None when it does not exist. Raises RowplaneError, also for one that cannot be read."""
        if not _NAME.fullmatch(key[1]):
            return None  # no object has such a name, and in a path it could lead elsewhere
        try:
            return parse_object(Hub, self._client.get(HUBS, *key))
        except ObjectNotFound:
            return None

    def _forms(self, hub: Hub) -> Mapping[tuple[str, str], Form]:
        """The forms that name the hub; those that cannot be read are passed over, their own review tells."""
        found = {}
        for document in self._client.list(FORMS, hub.metadata.namespace)[0]:
            try:
                form = parse_object(Form, document)
            except InvalidError:
                continue
            if form.hub_key == hub.key:
                found[form.key] = form
        return found


class _Types:
    """Types by the kinds of a form, read again when they are not fresh."""

    _SETS: Final = 64

    def __init__(self, client: KubeClient, clock: Clock) -> None:
        self._types = ClusterTypes(client)
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[frozenset[tuple[str, str]], tuple[float, Schemas]] = {}

    def of(self, kinds: frozenset[tuple[str, str]]) -> Schemas:
        """Raises ClusterError."""
        now_s = self._clock.monotonic_s()
        with self._lock:
            at_s, schemas = self._known.get(kinds, (float("-inf"), Schemas()))
        if now_s - at_s < _FRESH_S:
            return schemas
        schemas, absent = self._types.read(kinds)
        with self._lock:
            self._known.pop(kinds, None)
            if not absent:  # a kind that was not there may come any moment
                self._known[kinds] = now_s, schemas
            while len(self._known) > self._SETS:
                del self._known[next(iter(self._known))]
        return schemas


def _within(deadline: Deadline, future: Future[_T], subject: str, left_out: str, warnings: list[str]) -> _T | None:
    """The future's value; None and a warning when it failed or is late."""
    try:
        return future.result(deadline.remaining_s())
    except LateError:
        reason = f"the API server did not answer within {_LIMIT_S:g} s"
    except RowplaneError as error:
        reason = error.text
    future.cancel()
    log.warning("a review goes without what could not be read", subject=subject, reason=reason)
    warnings.append(f"{subject} could not be read, {left_out} was not judged: {reason}")
    return None
