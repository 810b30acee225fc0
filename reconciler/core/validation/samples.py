"""A form tried out on rows: real ones, or made-up ones whose values excuse whatever another value could mend.

Fed by: a form, its hub, schemas, sample rows. Feeds: findings. Never: tells of a made-up row what a real one may not
have; a fault counts only if every made-up value shows it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from reconciler.core.catalog import NodeKey
from reconciler.core.leaf import visible
from reconciler.core.objects import DesiredObject
from reconciler.core.render import CompiledForm, Owner, render_resources
from reconciler.core.validation.items import Item, subject_of
from reconciler.core.validation.names import name_fault
from reconciler.core.validation.objects import Fault, faults, same_objects, selects_nothing
from reconciler.core.validation.report import Context, Finding, Severity
from reconciler.core.variables import NodeRow, variables_of
from shared.errors import RenderError
from shared.model.form import Form
from shared.model.names import API_VERSION

__all__ = ["sample_findings"]

_VALUES: Final = ("sample", "1", "true", "other")
"""What a made-up row has in every column; the first and the last differ in nothing but letters."""
_UIDS: Final = ("sample-a", "sample-b")


@dataclass(frozen=True, slots=True)
class _Trial:
    """What one row renders to."""

    row: NodeRow
    objects: Mapping[str, DesiredObject]
    failed: Mapping[str, RenderError]
    """Resource id → why it cannot be rendered for this row."""


class _Still:
    """Time and chance for templates that may use them: what they give here is looked at, and never kept."""

    def now_s(self) -> float:
        """Seconds since 1970-01-01 UTC."""
        return 0.0

    def random_bytes(self, count: int) -> bytes:
        """Zeros."""
        return bytes(count)


def sample_findings(
    compiled: CompiledForm, resources: Sequence[Item], variables: frozenset[str], context: Context
) -> Iterator[Finding]:
    """Findings on names, labels, selectors, equal objects; with real rows also on every value that does not fit.

    `variables` are those that the form reads: what made-up rows must have.
    """
    by_id: dict[str, Item] = {}
    for item in resources:
        by_id.setdefault(item.resource.id, item)
    if context.rows:
        trials = [_try(compiled, row) for row in context.rows if _key_fault(compiled.form, row) is None]
        yield from _illegal_keys(compiled.form, context.rows)
        yield from _refused(trials, by_id)
        yield from _faults_of_rows(trials, by_id)
        yield from _shared(trials, by_id)
    else:
        trials = [_try(compiled, _row(_UIDS[0], variables, value)) for value in _VALUES]
        yield from _faults_of_all(trials, by_id)
        yield from _shared([trials[0], _try(compiled, _row(_UIDS[1], variables, _VALUES[0]))], by_id)
    yield from _equal(trials, by_id, need_all=not context.rows)
    yield from _no_backends(trials, by_id, made_up=not context.rows)


def _row(uid: str, variables: frozenset[str], value: str) -> NodeRow:
    return NodeRow(uid, "1", f"https://{uid}.example.com", dict.fromkeys(sorted(variables), value))


def _try(compiled: CompiledForm, row: NodeRow) -> _Trial:
    form = compiled.form
    owner = Owner(NodeKey(form.metadata.namespace, form.metadata.name, row.uid), "", "")
    variables = variables_of(row, form.spec.hub_id, form.metadata.name)
    made = list(render_resources(compiled, owner, variables, _Still()))
    objects = {item.id: item for item in made if isinstance(item, DesiredObject)}
    return _Trial(row, objects, {error.resource: error for error in made if isinstance(error, RenderError)})


# -- real rows ---------------------------------------------------------------------------------------------------


def _key_fault(form: Form, row: NodeRow) -> str | None:
    """Why the row cannot have a LynqNode, or None."""
    name = NodeKey(form.metadata.namespace, form.metadata.name, row.uid).name
    wrong = name_fault(API_VERSION, "LynqNode", name)
    return f"its name {visible(name)} {wrong}" if wrong else None


def _illegal_keys(form: Form, rows: Sequence[NodeRow]) -> Iterator[Finding]:
    """Rows whose LynqNode could not exist; nothing else is told of them."""
    faulty = [(row.uid, fault) for row in rows if (fault := _key_fault(form, row)) is not None]
    if faulty:
        more = f", and {len(faulty) - 1} more such rows" if len(faulty) > 1 else ""
        text = f"row {visible(faulty[0][0])} cannot have a LynqNode: {faulty[0][1]}{more}"
        mend = "let valueMappings.uid name a column of legal names"
        yield Finding(Severity.ERROR, "RowKeyInvalid", subject_of(form), text, mend=mend)


def _refused(trials: Sequence[_Trial], by_id: Mapping[str, Item]) -> Iterator[Finding]:
    """Resources that a row's values keep from being rendered: the first such row, and how many more."""
    for name, item in by_id.items():
        refused = [trial for trial in trials if name in trial.failed]
        if refused:
            error = refused[0].failed[name]
            text = f"cannot be rendered for {_row_words(refused)}: {item.without_label(error.text)}"
            yield item.error("RowRefused", text, item.document_path(error.path), error.mend)


def _faults_of_rows(trials: Sequence[_Trial], by_id: Mapping[str, Item]) -> Iterator[Finding]:
    for name, item in by_id.items():
        found: dict[tuple[str, str], list[tuple[_Trial, Fault]]] = {}
        for trial in trials:
            for fault in faults(trial.objects[name]) if name in trial.objects else ():
                found.setdefault((fault.reason, fault.at), []).append((trial, fault))
        for pairs in found.values():
            told = pairs[0][1]
            text = f"{told.text} ({_row_words([trial for trial, _ in pairs])})"
            yield item.error(told.reason, text, item.place_of(told.at))


def _row_words(trials: Sequence[_Trial]) -> str:
    more = len(trials) - 1
    return f"row {visible(trials[0].row.uid)}" + (f" and {more} more" if more else "")


# -- made-up rows ------------------------------------------------------------------------------------------------


def _faults_of_all(trials: Sequence[_Trial], by_id: Mapping[str, Item]) -> Iterator[Finding]:
    """Faults that every made-up row shows; errors where the values make no difference, else warnings."""
    for name, item in by_id.items():
        per_trial = [{(f.reason, f.at): f.text for f in faults(t.objects[name])} for t in trials if name in t.objects]
        if not per_trial:
            continue
        for key, text in per_trial[0].items():
            texts = {found.get(key) for found in per_trial}
            if None not in texts:
                make = item.error if len(texts) == 1 else item.warning
                yield make(key[0], text, item.place_of(key[1]))


# -- several objects ---------------------------------------------------------------------------------------------


def _equal(trials: Sequence[_Trial], by_id: Mapping[str, Item], *, need_all: bool) -> Iterator[Finding]:
    """Two resources that are the same object, for any row (or for every made-up one)."""
    found: dict[tuple[str, str], list[tuple[_Trial, DesiredObject]]] = {}
    for trial in trials:
        for first, later in same_objects(tuple(trial.objects.values())):
            found.setdefault((first.id, later.id), []).append((trial, later))
    for (first_id, later_id), pairs in found.items():
        if need_all and len(pairs) < len(trials):
            continue
        text = f"renders the same object as resource {first_id}: {pairs[0][1].ref}"
        item = by_id[later_id]
        yield item.error("DuplicateObject", text, item.place_of("name"), "give one of them another name")


def _shared(trials: Sequence[_Trial], by_id: Mapping[str, Item]) -> Iterator[Finding]:
    """Objects that several rows would make: only the first row's node gets them."""
    for name, item in by_id.items():
        owners: dict[object, str] = {}
        for trial in trials:
            made = trial.objects.get(name)
            if made is not None and owners.setdefault(made.ref, trial.row.uid) != trial.row.uid:
                text = f"renders the same object for every row: {made.ref}; only one node can have it"
                mend = "put the variable uid into its name or namespace"
                yield item.warning("SharedObject", text, item.place_of("name"), mend)
                break


def _no_backends(trials: Sequence[_Trial], by_id: Mapping[str, Item], *, made_up: bool) -> Iterator[Finding]:
    """Services that pick no workload of the form."""
    told: set[str] = set()
    for trial in trials:
        also = trials[-1] if made_up else trial
        for service in selects_nothing(tuple(trial.objects.values()), tuple(also.objects.values())):
            if service.id not in told:
                told.add(service.id)
                selector = ", ".join(f"{k}={v}" for k, v in service.manifest["spec"]["selector"].items())
                row = "" if made_up else f" ({_row_words([trial])})"
                text = f"selects {selector}, which matches no workload of the form{row}"
                yield by_id[service.id].warning("NoBackends", text, ".spec")
        if made_up:
            return
