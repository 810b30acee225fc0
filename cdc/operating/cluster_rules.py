"""Is the cluster ready for capture and reconciler? Facts in, findings out.

Fed by: cdc.operating.adapters.cluster. Feeds: `rowplane check`. Never: asks the API server.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from typing import Any, Final

from cdc.operating.findings import Finding, Severity, ok
from cdc.operating.output import age
from shared.model.names import LYNQ_LEASE
from shared.model.rights import Right

__all__ = ["ClusterFacts", "CrdState", "ForeignLease", "crd_state", "judge_cluster"]

_RUNNING_S: Final = 60.0
"""A Lease renewed no longer ago than this is in use, whatever two machines' clocks differ by."""


class CrdState(StrEnum):
    """A CustomResourceDefinition beside that of this version."""

    SAME = "same"
    MISSING = "missing"
    DIFFERENT = "different"
    HIDDEN = "hidden"
    """May not be read."""


def crd_state(live: Any, ours: Any) -> CrdState:
    """Whether everything of `ours` is in `live`, which the API server has filled up with defaults."""
    return CrdState.SAME if _holds(live, ours) else CrdState.DIFFERENT


def _holds(live: Any, ours: Any) -> bool:
    if isinstance(ours, Mapping):
        return isinstance(live, Mapping) and all(key in live and _holds(live[key], ours[key]) for key in ours)
    if isinstance(ours, list):
        return isinstance(live, list) and len(live) == len(ours) and all(map(_holds, live, ours))
    return bool(live == ours)


@dataclass(frozen=True, slots=True)
class ForeignLease:
    """The Lease of Lynq's own operator."""

    namespace: str
    holder: str
    """Empty when it was released."""
    age_s: float
    """Since its last renewal."""


@dataclass(frozen=True, slots=True)
class ClusterFacts:
    """What the API server says to whoever runs the check."""

    server: str
    namespace: str
    """The namespace that hubs and forms are restricted to; empty for all."""
    missing: tuple[Right, ...]
    """Rights that it does not grant."""
    asked: int
    """How many rights were asked for."""
    crds: Mapping[str, CrdState]
    """By name."""
    unserved: tuple[tuple[str, str], ...]
    """(apiVersion, kind) that forms name and nobody serves."""
    leases: tuple[ForeignLease, ...] | None
    """None when they may not be listed."""


def judge_cluster(facts: ClusterFacts) -> list[Finding]:
    """Everything that is to be said of the cluster."""
    subject = f"cluster {facts.server}"
    return [
        ok(subject, "Reachable", "reached"),
        *(_crd(name, state) for name, state in facts.crds.items()),
        *_rights(subject, facts),
        *_unserved(subject, facts),
        *_lynq(subject, facts),
    ]


def _crd(name: str, state: CrdState) -> Finding:
    subject, mend = f"CRD {name}", "rowplane crds --install"
    if state is CrdState.MISSING:
        return Finding(Severity.ERROR, "CrdMissing", subject, "is not installed", "no such object can be stored", mend)
    if state is CrdState.DIFFERENT:
        why = "fields that it does not know are dropped when objects are stored"
        return Finding(Severity.WARNING, "CrdDifferent", subject, "is not that of this version", why, mend)
    if state is CrdState.HIDDEN:
        return Finding(
            Severity.NOTE, "CrdHidden", subject, "may not be read", "", "Allow get on customresourcedefinitions"
        )
    return ok(subject, "CrdFits", "is that of this version")


def _rights(subject: str, facts: ClusterFacts) -> Iterator[Finding]:
    where = f"in namespace {facts.namespace}" if facts.namespace else "in all namespaces"
    for (process, group, resource), found in groupby(facts.missing, key=lambda right: right[:3]):
        verbs = " ".join(right.verb for right in found)
        kind = f"{resource}.{group}" if group else resource
        mend = f'apiGroups: ["{group}"], resources: [{resource}], verbs: [{", ".join(verbs.split())}] in its role'
        text = f"{process} may not {verbs} {kind} {where}"
        why = "asked as whoever runs this check; in the pod of the process it is asked as that process"
        yield Finding(Severity.ERROR, "RightMissing", subject, text, why, mend)
    if not facts.missing:
        yield ok(subject, "RightsFit", f"grants all {facts.asked} rights of capture and reconciler {where}")


def _unserved(subject: str, facts: ClusterFacts) -> Iterator[Finding]:
    for api_version, kind in facts.unserved:
        text = f"does not serve {api_version} {kind}, which a form makes"
        yield Finding(Severity.WARNING, "KindNotServed", subject, text, "its objects cannot be made", "Install its CRD")


def _lynq(subject: str, facts: ClusterFacts) -> Iterator[Finding]:
    if facts.leases is None:
        text = "does not let us list Leases, so whether Lynq's own operator runs is not known"
        why = "two operators on one set of objects undo each other's work"
        yield Finding(Severity.NOTE, "LeasesHidden", subject, text, why, "Allow list on leases.coordination.k8s.io")
    for lease in facts.leases or ():
        if lease.holder and lease.age_s < _RUNNING_S:
            place = f"{lease.namespace}/{LYNQ_LEASE}"
            text = f"Lynq's own operator runs: {lease.holder} has renewed Lease {place} {age(lease.age_s)} ago"
            why = "two operators on one set of objects undo each other's work"
            mend = f"kubectl -n {lease.namespace} scale deployment --replicas=0 <its deployment>"
            yield Finding(Severity.ERROR, "LynqRuns", subject, text, why, mend)
