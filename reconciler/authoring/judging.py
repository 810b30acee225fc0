"""`rowplane validate`: every hub and form of the files, judged as the webhook and the reconciler judge them.

Fed by: a bundle of hubs and forms, what is known of the cluster, sample rows. Feeds: commands.py. Never: performs I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from reconciler.authoring.bundle import Bundle, Located
from reconciler.authoring.rows import Samples
from reconciler.core.schema import Schemas
from reconciler.core.validation import Context, Severity, validate_form, validate_hub
from reconciler.core.variables import NodeRow
from shared.model.form import Form
from shared.model.hub import Hub

__all__ = ["Surroundings", "judge"]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is known beside the files."""

    schemas: Schemas
    """The cluster's, or the bundled ones."""
    live: bool = False
    """Whether it is a cluster's: what is not there does not exist."""
    hubs: Mapping[tuple[str, str], Hub] = field(default_factory=dict)
    """The cluster's hubs that forms of the files name and the files have not."""
    forms: Mapping[tuple[str, str], Form] = field(default_factory=dict)
    """The cluster's forms of the hubs in the files."""


def judge(bundle: Bundle, around: Surroundings, samples: Samples) -> tuple[Located, ...]:
    """All findings, by file and line. Raises InvalidError for rows that do not fit the hub."""
    found = list(bundle.problems)
    unreadable = {located.finding.subject for located in found}
    files = {entry.object.key: entry.object for entry in bundle.forms}
    rows = {hub.key: _rows(samples, hub) for hub in _hubs(bundle, around)}
    for hub in bundle.hubs:
        # what a form of the files misses is told with the form
        theirs = {key: form for key, form in around.forms.items() if key not in files}
        context = _context(around, hub.object, rows[hub.object.key], theirs)
        found += [hub.locate(finding) for finding in validate_hub(hub.object, context)]
    for form in bundle.forms:
        authored = bundle.hub_of(form.object)
        its = authored.object if authored else around.hubs.get(form.object.hub_key)
        others = {key: other for key, other in {**around.forms, **files}.items() if key != form.object.key}
        context = _context(around, its, rows[its.key] if its else (), others)
        is_told = f"LynqHub {'/'.join(form.object.hub_key)}" in unreadable
        findings = validate_form(form.object, context)
        found += [form.locate(finding) for finding in findings if not (is_told and finding.reason == "HubNotFound")]
    return tuple(sorted(found, key=Located.order))


def _hubs(bundle: Bundle, around: Surroundings) -> Iterable[Hub]:
    return (*(entry.object for entry in bundle.hubs), *around.hubs.values())


def _rows(samples: Samples, hub: Hub) -> tuple[NodeRow, ...]:
    return tuple(row for _, row in samples.of(hub).active) if samples.given else ()


def _context(
    around: Surroundings, hub: Hub | None, rows: tuple[NodeRow, ...], siblings: Mapping[tuple[str, str], Form]
) -> Context:
    return Context(
        hub=hub,
        schemas=around.schemas,
        all_kinds_known=around.live,
        absent=Severity.ERROR if around.live else Severity.WARNING,
        rows=rows,
        siblings=siblings,
    )
