"""The values that `next` works on: what is desired, what is observed, what to write, what is waited for.

Fed by: render.py (desired), slim.py (observed). Feeds: next.py and the applier. Never: performs I/O.
"""

from __future__ import annotations

import copy
import hashlib
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final, NamedTuple

from reconciler.core.location import Location, without
from shared.model.form import ConflictPolicy, CreationPolicy, DeletionPolicy, PatchStrategy
from shared.model.version import Version

__all__ = [
    "Absent",
    "Delete",
    "Desired",
    "DesiredObject",
    "Failure",
    "Look",
    "ObjectRef",
    "Observed",
    "ObservedObject",
    "Readiness",
    "Repair",
    "Step",
    "Wait",
    "WaitReason",
    "Workload",
    "Write",
    "applied_hash",
    "ref_of",
]


class ObjectRef(NamedTuple):
    """Which object: namespace is empty for cluster-scoped kinds."""

    api_version: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        """`Deployment shop/acme-blue`."""
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


def ref_of(api_version: str, kind: str, namespace: str, name: str) -> ObjectRef:
    """A reference that is kept for long: its texts are shared with all others."""
    return ObjectRef(sys.intern(api_version), sys.intern(kind), sys.intern(namespace), sys.intern(name))


def applied_hash(manifest: Mapping[str, Any], ignored: tuple[Location, ...] = ()) -> str:
    """First 16 hex digits of SHA-256 over the manifest as sorted compact JSON: Lynq's `lynq.sh/applied-hash` form.

    What is ignored is left out: another value there is no change.
    """
    counted = without(manifest, ignored) if ignored else manifest
    text = json.dumps(counted, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class DesiredObject:
    """One rendered resource of a node, complete but for the stamps that the applier adds (hash, row-version, uid)."""

    id: str
    ref: ObjectRef
    manifest: Mapping[str, Any]
    """The body to apply: apiVersion, kind, metadata (name, namespace, labels, annotations, owners), the rest."""
    hash: str
    """`applied_hash(manifest, ignored)`."""
    depend_ids: tuple[str, ...] = ()
    skip_on_dependency_failure: bool = True
    creation_policy: CreationPolicy = CreationPolicy.WHEN_NEEDED
    deletion_policy: DeletionPolicy = DeletionPolicy.DELETE
    conflict_policy: ConflictPolicy = ConflictPolicy.STUCK
    patch_strategy: PatchStrategy = PatchStrategy.APPLY
    wait_for_ready: bool = True
    timeout_s: int = 300
    ignored: tuple[Location, ...] = ()
    """Places of the manifest that count for the creation alone (ignoreFields, replicas that an autoscaler sets)."""

    @property
    def replicas(self) -> int | None:
        """How many it asks a live object for; None when that is not its business."""
        replicas = (self.manifest.get("spec") or {}).get("replicas")
        return replicas if isinstance(replicas, int) and REPLICAS not in self.ignored else None

    def with_replicas(self, replicas: int) -> DesiredObject:
        """The same object asking for `replicas`; manifest and hash are of what will be sent."""
        manifest = copy.deepcopy(dict(self.manifest))
        manifest["spec"]["replicas"] = replicas
        return replace(self, manifest=manifest, hash=applied_hash(manifest, self.ignored))


@dataclass(frozen=True, slots=True)
class Desired:
    """What the row and the form want for one node; an absent or inactive row wants no objects."""

    row_version: Version
    objects: tuple[DesiredObject, ...]
    """In collection order; ids are unique; dependencies may point anywhere but form no cycle."""
    failed: Mapping[str, str] = field(default_factory=dict)
    """Resource id → why it could not be rendered; such a resource is left as it is and counts as failed."""
    scale_down_delay_s: int = 10
    form_generation: int = 0
    """Generation of the form that the objects follow from; 0 when nothing is wanted."""


class Readiness(StrEnum):
    """How an object stands by the rules of its kind."""

    READY = "Ready"
    PROGRESSING = "Progressing"
    FAILED = "Failed"


@dataclass(frozen=True, slots=True)
class Workload:
    """The counters of a Deployment, StatefulSet or DaemonSet, from its spec and status."""

    wanted: int
    """spec.replicas (1 when absent); DaemonSet: desiredNumberScheduled."""
    replicas: int
    """status.replicas; DaemonSet: currentNumberScheduled."""
    updated: int
    """updatedReplicas; DaemonSet: updatedNumberScheduled."""
    available: int
    """availableReplicas; DaemonSet: numberAvailable."""
    observed_generation: int


@dataclass(frozen=True, slots=True)
class ObservedObject:
    """The slim record of a live object: what decisions need, and nothing else."""

    ref: ObjectRef
    uid: str
    resource_version: str
    generation: int
    readiness: Readiness
    applied_hash: str = ""
    """Annotation `lynq.sh/applied-hash`, empty when it is not ours."""
    row_version: Version | None = None
    """Annotation `lynq.sh/row-version`."""
    managed: str = ""
    """What our manager owns of it (managed.py); empty when nothing is known."""
    rival: str = ""
    """The other manager that wrote to it last."""
    scaled: bool = False
    """An autoscaler has set its `spec.replicas`."""
    once: bool = False
    """Annotation `lynq.sh/created-once`."""
    node: tuple[str, str] | None = None
    """(namespace, name) of the LynqNode that the tracking labels name."""
    deleting: bool = False
    orphaned: bool = False
    """Label `lynq.sh/orphaned`: given up by a node; whoever wants it may have it."""
    retain: bool = False
    """Annotation `lynq.sh/deletion-policy` is Retain: outlives its node and its place in the form."""
    selector: Mapping[str, str] | None = None
    """Service: spec.selector."""
    backends: tuple[str, ...] = ()
    """Ingress, HTTPRoute: names of the Services behind it, in its namespace."""
    pod_labels: Mapping[str, str] | None = None
    """Workloads: spec.template.metadata.labels."""
    template_hash: str = ""
    """Workloads: annotation `lynq.sh/pod-template-hash`: applied_hash of the spec.template that was last sent."""
    workload: Workload | None = None
    left: tuple[str, ...] = ()
    """Routes: annotation `lynq.sh/left`, the resource ids whose workloads the last move left."""
    message: str = ""
    """Why it is not ready, in words, when the object says so."""


class Repair(NamedTuple):
    """A field that was taken back."""

    at_s: float
    """Monotonic seconds."""
    rival: str
    """The manager it was taken from; empty when the field had been removed."""
    hash: str
    """Of the object at that time."""


class Absent(NamedTuple):
    """Known not to exist: a GET by name or our own delete answered so. Or taken for that, below a new LynqNode."""

    ref: ObjectRef


@dataclass(frozen=True, slots=True)
class Failure:
    """The last write of a resource failed."""

    text: str
    retry_at_s: float
    """Monotonic seconds; not tried again before, unless the desired hash changed."""
    hash: str
    """The hash that was refused."""
    conflicted: bool = False
    """Another field manager owns a field (conflictPolicy Stuck)."""
    seen: str = ""
    """resourceVersion of the object that the conflict was with."""
    soon_s: float = 0.0
    """Monotonic seconds from which on a conflict is tried again if the object has changed."""

    def due_s(self, live: ObservedObject | None) -> float:
        """Monotonic seconds at which the same is tried again."""
        changed = self.conflicted and live is not None and live.resource_version != self.seen
        return min(self.soon_s, self.retry_at_s) if changed else self.retry_at_s


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything known about a node's objects: the watch cache overlaid with the answers to our own writes."""

    objects: Mapping[ObjectRef, ObservedObject | Absent]
    """A ref that is not in here is unknown: look before deciding."""
    inventory: tuple[tuple[str, ObjectRef], ...] = ()
    """(resource id, ref) that were applied, or are on their way, in that order; what is listed but absent was deleted
    by somebody else, so an object that was never written must not be listed yet."""
    left_since_s: Mapping[ObjectRef, float] = field(default_factory=dict)
    """Route → monotonic seconds at which its present `left` was first seen by this process."""
    applied_at_s: Mapping[ObjectRef, float] = field(default_factory=dict)
    """Object → monotonic seconds of our last write of it while it has not been ready since (readiness time-out)."""
    failures: Mapping[str, Failure] = field(default_factory=dict)
    """Resource id → its last failed write."""
    switch_now: Version | None = None
    """Annotation `lynq.sh/switch-now` of the LynqNode: routes of this row version move without waiting."""
    doubtful: frozenset[ObjectRef] = frozenset()
    """Objects to be written once more even if nothing differs (a write without an answer, a takeover)."""
    held_since_s: Mapping[ObjectRef, float] = field(default_factory=dict)
    """Route → monotonic seconds at which it was first in `Step.held` without a break, as seen by this process."""
    settled: Mapping[ObjectRef, tuple[str, str]] = field(default_factory=dict)
    """Object → (hash, `managed`) as our last write was answered: what was not ours then has not been taken since."""
    repairs: Mapping[ObjectRef, tuple[Repair, ...]] = field(default_factory=dict)
    """Object → what this process has taken back lately, oldest first."""
    node: tuple[str, str] | None = None
    """The LynqNode as the tracking labels name it: what another node tracks is neither written nor deleted.
    None: every tracked object passes for ours."""


@dataclass(frozen=True, slots=True)
class Write:
    """Create or update as the patch strategy says, fenced by what it was computed from."""

    object: DesiredObject
    """As it is to be sent (a held workload carries its live replicas)."""
    base: ObservedObject | None
    """The observed object; None: create only if absent."""
    left: tuple[str, ...] | None = None
    """Routes: what `lynq.sh/left` is to say; None leaves what is there."""
    force: bool = False
    """Take over fields that another manager owns (conflictPolicy Force, or fields that were ours)."""
    repairs: str = ""
    """The field that was changed behind our back, when that is why it is written."""
    doubtful: bool = False
    """Its resourceVersion must move even if nothing differs, so that a late write fails."""


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete with preconditions uid and resourceVersion."""

    id: str
    base: ObservedObject
    orphan: str = ""
    """Deletion policy Retain: the object is not deleted but given up, for this reason."""


class Look(NamedTuple):
    """GET by name: the cache does not know."""

    ref: ObjectRef


class WaitReason(StrEnum):
    """Why a resource is not (fully) written yet."""

    DEPENDENCY = "Dependency"
    TRAFFIC_HELD = "TrafficHeld"
    NO_BACKENDS = "NoBackends"
    FROZEN = "Frozen"
    SHRINK_HELD = "ShrinkHeld"
    RETRY = "Retry"
    NOT_READY = "NotReady"
    TIMED_OUT = "TimedOut"
    SKIPPED = "Skipped"
    TERMINATING = "Terminating"
    FAILED = "Failed"
    FOREIGN = "Foreign"
    CONFLICTED = "Conflicted"
    CLEANUP = "Cleanup"
    UNAPPROVED = "AwaitsApproval"
    PAUSED = "Paused"
    DRY_RUN = "DryRun"


@dataclass(frozen=True, slots=True)
class Wait:
    """One resource and what it waits for; the text is fit for a condition."""

    id: str
    reason: WaitReason
    text: str


@dataclass(frozen=True, slots=True)
class Step:
    """What `next` answers: writes that may go out now, in parallel; what is waited for; when to look again."""

    writes: tuple[Write | Delete | Look, ...]
    waits: tuple[Wait, ...]
    timer_at_s: float | None
    """Monotonic seconds of the next moment that matters without any event; None: only events matter."""
    ready: tuple[str, ...] = ()
    """Ids of desired resources that are as wanted and ready; one that only keeps its size for a while is among them."""
    done: bool = False
    """Nothing to write, nothing held back: the row is applied completely (readiness may still be outstanding)."""
    held: tuple[ObjectRef, ...] = ()
    """Routes whose move the gate holds; the caller keeps since when (`Observed.held_since_s`)."""
    outgoing: tuple[ObjectRef, ...] = ()
    """Objects no longer rendered that are to be deleted, now or later."""
    retained: tuple[ObjectRef, ...] = ()
    """Objects no longer rendered that are left in place: not tracked by this node, or not any more."""

    def withhold(self, why: Callable[[Write | Delete | Look], Wait | None]) -> Step:
        """The step without the actions that `why` has a wait for, and with these; itself when there are none."""
        told = [(action, why(action)) for action in self.writes]
        waits = [wait for _, wait in told if wait is not None]
        if not waits:
            return self
        writes = tuple(action for action, wait in told if wait is None)
        return replace(self, writes=writes, waits=(*self.waits, *waits), done=False)


REPLICAS: Final[Location] = ("spec", "replicas")
ANNOTATION_TEMPLATE_HASH: Final = "lynq.sh/pod-template-hash"
ANNOTATION_LEFT: Final = "lynq.sh/left"
ANNOTATION_ALLOW_NO_BACKENDS: Final = "lynq.sh/allow-no-backends"
