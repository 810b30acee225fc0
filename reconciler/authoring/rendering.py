"""`rowplane render`: what the reconciler would apply for given rows, in the order of the dependencies.

Fed by: forms, hubs, rows, schemas. Feeds: commands.py, diff.py. Never: performs I/O. Left out of the manifests is what
only a reconciler knows: shard, owner and the version of the row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reconciler.authoring.bundle import Bundle
from reconciler.authoring.rows import Samples
from reconciler.core.catalog import Catalog, NodeKey
from reconciler.core.graph import order
from reconciler.core.objects import DesiredObject
from reconciler.core.render import CompiledForm, Owner, compile_form, render_node
from reconciler.core.schema import Schemas
from reconciler.core.variables import NodeRow, variables_of
from shared.errors import UsageError
from shared.gotemplate import Sources
from shared.model.form import Form
from shared.model.hub import Hub
from shared.model.names import LABEL_SHARD
from shared.model.version import Version

__all__ = ["RenderedNode", "Rendering", "kinds_of", "pick_forms", "render_forms", "render_owned", "without_owner"]

_UNVERSIONED = Version(0, 0, 0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class RenderedNode:
    """The objects of one row by one form."""

    key: NodeKey
    where: str
    """The row's place: `rows.csv:3`."""
    objects: tuple[DesiredObject, ...]
    """In the order in which a new node gets them."""
    failed: Mapping[str, str]
    """Resource id → why it cannot be rendered for this row; what no row could render is not among them."""

    def manifests(self) -> Iterator[dict[str, Any]]:
        """As they would be applied, without the shard."""
        for item in self.objects:
            yield without_owner(item.manifest)


@dataclass(frozen=True, slots=True)
class Rendering:
    """All that came out, and what has to be told."""

    nodes: tuple[RenderedNode, ...]
    broken: tuple[tuple[str, str], ...]
    """(form, why a resource of it can be rendered for no row)."""
    inactive: tuple[str, ...]
    """`rows.csv:3: globex` for each row that gets no object."""
    nulls: tuple[str, ...]
    """Columns that are NULL since `--row` does not give them."""

    @property
    def complete(self) -> bool:
        """Whether every resource could be rendered for every row."""
        return not self.broken and not any(node.failed for node in self.nodes)


def pick_forms(bundle: Bundle, name: str) -> list[Form]:
    """The forms that a command works on: all, or the named one. Raises UsageError when there is none."""
    names = sorted(entry.object.metadata.name for entry in bundle.forms)
    picked = [entry.object for entry in bundle.forms if name in ("", entry.object.metadata.name)]
    if not picked:
        known = f"The files hold {', '.join(names)}" if names else "Give the form's file with -f"
        raise UsageError(f"no LynqForm {name} in the files" if name else "no LynqForm in the files", mend=known)
    return picked


def render_forms(
    forms: Sequence[Form],
    hubs: Mapping[tuple[str, str], Hub],
    samples: Samples,
    schemas: Schemas,
    sources: Sources,
) -> Rendering:
    """Every form for each active row of its hub. Raises InvalidError for rows that do not fit the hub."""
    nodes: list[RenderedNode] = []
    broken: list[tuple[str, str]] = []
    inactive: dict[str, None] = {}
    nulls: dict[str, None] = {}
    for form in forms:
        hub = hubs.get(form.hub_key)
        if hub is None:
            raise UsageError(
                f"LynqForm {'/'.join(form.key)}: its LynqHub {form.spec.hub_id} is not in the files",
                mend="Give the hub's file with --hub; the rows are columns, and the hub says what they mean",
            )
        selected = samples.of(hub)
        compiled = compile_form(form, schemas, hub)
        broken += [("/".join(form.key), text) for text in compiled.failed.values()]
        nodes += [_render_row(compiled, where, row, sources) for where, row in selected.active]
        inactive |= dict.fromkeys(f"{where}: {row.uid}" for where, row in selected.inactive)
        nulls |= dict.fromkeys(selected.nulls)
    return Rendering(tuple(nodes), tuple(broken), tuple(inactive), tuple(nulls))


def _render_row(compiled: CompiledForm, where: str, row: NodeRow, sources: Sources) -> RenderedNode:
    owner = Owner(NodeKey(*compiled.form.key, row.uid), uid="", shard="")
    return render_owned(compiled, owner, row, where, sources)


def render_owned(compiled: CompiledForm, owner: Owner, row: NodeRow, where: str, sources: Sources) -> RenderedNode:
    """The objects of a node in the order of the dependencies; `where` names the row's place."""
    variables = variables_of(row, compiled.form.spec.hub_id, compiled.form.metadata.name)
    desired = render_node(compiled, owner, variables, _UNVERSIONED, sources)
    by_id = {item.id: item for item in desired.objects}
    failed = {name: text for name, text in desired.failed.items() if name not in compiled.failed}
    return RenderedNode(owner.key, where, tuple(by_id[name] for name in order(desired.objects)), failed)


def without_owner(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest without shard and owner, its name first."""
    given = manifest["metadata"]
    first = {key: given[key] for key in ("name", "namespace") if key in given}
    rest = {key: value for key, value in given.items() if key not in ("name", "namespace", "ownerReferences")}
    rest["labels"] = {key: value for key, value in rest["labels"].items() if key != LABEL_SHARD}
    return {**manifest, "metadata": first | rest}


def kinds_of(forms: Sequence[Form]) -> frozenset[tuple[str, str]]:
    """(apiVersion, kind) of all their resources."""
    return Catalog("", forms={form.key: form for form in forms}).kinds()
