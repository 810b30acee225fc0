"""Makers of what tests work on: clocks, versions, the example's hub and form, rows, records of a change topic.

Fed by: deploy/examples/blue-green and the bundled types. Feeds: tests of every level. Never: asserts anything.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import yaml

from reconciler.core.catalog import Catalog, NodeKey
from reconciler.core.goal import RowState
from reconciler.core.render import CompiledForm, compile_form
from reconciler.core.revision import History, newest, revision_of
from reconciler.core.schema import Schemas
from reconciler.core.variables import NodeRow
from reconciler.ports import Partition, Record
from reconciler.schemas import bundled
from reconciler.view import CatalogView
from shared.kube import NAMESPACES, KubeClient, ResourceType
from shared.model.api import parse_object
from shared.model.envelope import Envelope, Op, Row, Source, encode_key
from shared.model.form import Form, Rollout, RolloutStatus
from shared.model.hub import Hub
from shared.model.names import HEADER_BULK, HEADER_VERSION
from shared.model.version import Version
from tests.cleaning import remove_namespace

ROOT: Final = Path(__file__).parents[1]
EXAMPLE: Final = ROOT / "deploy" / "examples" / "blue-green"
DATA: Final = ROOT / "tests" / "data"
SPACE: Final = "lynq-system"
"""The namespace of the example's hub and form."""
FORM: Final = "blue-green-app"
UID: Final = "acme-corp"
CONFIG_MAPS: Final = ResourceType("v1", "ConfigMap", "configmaps")
KEY: Final = NodeKey(SPACE, FORM, UID)


class HandClock:
    """A clock that stands until it is set; both readings move together."""

    def __init__(self, now_s: float = 1000.0) -> None:
        self.now_s = now_s

    def wall_s(self) -> float:
        """Seconds since 1970: 2026-01-01 when the clock reads 0."""
        return 1767225600.0 + self.now_s

    def monotonic_s(self) -> float:
        """The reading."""
        return self.now_s

    def advance(self, by_s: float) -> None:
        """Let time pass."""
        self.now_s += by_s


def version(offset: int, ordinal: int = 0) -> Version:
    """A change at `offset` of the first binlog file."""
    return Version(1, 1, offset, 0, ordinal, 0)


def example_schemas() -> Schemas:
    """Types of Kubernetes' own kinds."""
    return bundled()


def example_document(name: str) -> dict[str, Any]:
    """`hub` or `form` of the example as the file says it."""
    document: dict[str, Any] = yaml.safe_load((EXAMPLE / f"{name}.yaml").read_text(encoding="utf-8"))
    return document


def example_hub() -> Hub:
    """The example's hub as the cluster would hold it."""
    document = example_document("hub")
    document["metadata"] |= {"uid": "hub-uid", "generation": 1}
    return parse_object(Hub, document)


def example_form(generation: int = 1, **changes: Any) -> Form:
    """The example's form as the cluster would hold it; `changes` replace fields of its spec (None removes)."""
    document = example_document("form")
    document["metadata"] |= {"uid": "form-uid", "generation": generation}
    document["spec"] |= changes
    document["spec"] = {k: v for k, v in document["spec"].items() if v is not None}
    return parse_object(Form, document)


def form_of(**arrays: Any) -> Form:
    """A form with these arrays only, such as `configMaps=[{...}]`."""
    document = {
        "kind": "LynqForm",
        "metadata": {"name": FORM, "namespace": SPACE, "uid": "form-uid", "generation": 1},
        "spec": {"hubId": "blue-green-nodes", **arrays},
    }
    return parse_object(Form, document)


def view_of(*forms: Form, hub: Hub | None = None) -> CatalogView:
    """A view of the example's hub and these forms."""
    the_hub = hub or example_hub()
    catalog = Catalog("rowplane", {the_hub.key: the_hub}, {form.key: form for form in forms})
    compiled: dict[tuple[str, str], CompiledForm] = {f.key: compile_form(f, example_schemas(), the_hub) for f in forms}
    return CatalogView(catalog, compiled, catalog.topics())


def example_row(**changes: str | int | None) -> dict[str, str | int | float | bool | None]:
    """A row of the example's table, column name to value."""
    row: dict[str, str | int | float | bool | None] = {
        "node_id": UID,
        "domain": "https://acme.example.com",
        "is_active": 1,
        "active_color": "blue",
        "blue_version": "v1.0.0",
        "green_version": "v1.0.0",
        "deployment_status": "stable",
    }
    return {**row, **changes}


def node_row_of(uid: str = UID, *, active: bool = True, **extra: str) -> NodeRow:
    """The example's row as the hub maps it; `extra` replaces template variables."""
    variables = {"activeColor": "blue", "blueVersion": "v1.0.0", "greenVersion": "v1.0.0", "deploymentStatus": "stable"}
    return NodeRow(uid, "1" if active else "0", "https://acme.example.com", {**variables, **extra})


def row_state(offset: int, row: NodeRow | None) -> RowState:
    """A row state of the log."""
    return RowState(row, version(offset), f"uuid:{offset}", 1767225600000)


def envelope_of(op: Op, row: Row | None, *, pos: int = 4) -> Envelope:
    """A change of the example's table."""
    source = Source("mysql", "db:3306", "nodes_db", "nodes", f"uuid:{pos}", "binlog.000001", pos, 0, 1767225600000)
    before = row if op is Op.DELETE else None
    return Envelope(op, before, None if op is Op.DELETE else row, source, 1767225600001)


def record_of(
    partition: Partition, offset: int, row: Row, *, op: Op = Op.UPDATE, at: Version | None = None, bulk: bool = False
) -> Record:
    """A record as capture writes it; its version follows from the offset unless `at` says it."""
    headers: dict[str, bytes] = {HEADER_VERSION: (at or version(offset * 100)).text().encode()}
    if bulk:
        headers[HEADER_BULK] = b"1"
    key = encode_key("node_id", str(row["node_id"]))
    return Record(partition, offset, key, envelope_of(op, row, pos=offset * 100).encode(), headers)


@contextmanager
def fresh_namespace(client: KubeClient) -> Iterator[str]:
    """A namespace of its own on a real API server; its deletion is asked for at the end, and not awaited."""
    name = f"rowplane-test-{secrets.token_hex(4)}"
    client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    try:
        yield name
    finally:
        remove_namespace(client, name)


def bare(partition: Partition, offset: int, headers: Mapping[str, bytes] | None = None) -> Record:
    """A record without key or value: a control record."""
    return Record(partition, offset, None, None, dict(headers or {}))


def view_since(*forms: Form, lost: frozenset[int] = frozenset()) -> CatalogView:
    """A view of the example's hub and of one form, given as it was at each generation that is kept; the last is now."""
    now, hub = forms[-1], example_hub()
    revisions = [revision_of(form) for form in forms]
    current = newest(now, revisions)
    assert current is not None
    as_of = {(*now.key, r.number): r.under(now) for r in revisions}
    earlier = {key: compile_form(form, example_schemas(), hub) for key, form in as_of.items()}
    catalog = Catalog("rowplane", {hub.key: hub}, {now.key: now}, as_of)
    history = History(current.number, {r.number: r.digest for r in revisions}, lost)
    compiled = {now.key: earlier[*now.key, current.number]}
    return CatalogView(catalog, compiled, catalog.topics(), {now.key: history}, earlier)


def in_rollout(form: Form, max_skew: int, *updating: str, target: int | None = None, **status: Any) -> Form:
    """The form with a bound, and slots for these LynqNodes towards `target` (its own generation by default)."""
    rollout = Rollout(max_skew=max_skew)
    told = RolloutStatus(target_generation=target or form.metadata.generation, updating=list(updating), **status)
    spec = form.spec.model_copy(update={"rollout": rollout})
    return form.model_copy(update={"spec": spec, "status": form.status.model_copy(update={"rollout": told})})
