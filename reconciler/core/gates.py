"""Make before break: when a route may move, what is frozen until it has, what may not shrink yet afterwards.

Fed by: next.py, with the scene of routes.py. Feeds: next.py. Never: remembers a phase; every answer follows from what
is wanted and what is observed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from reconciler.core.objects import (
    ANNOTATION_ALLOW_NO_BACKENDS,
    ANNOTATION_TEMPLATE_HASH,
    Desired,
    ObjectRef,
    Observed,
    Readiness,
    WaitReason,
)
from reconciler.core.routes import Member, Route, Scene

__all__ = ["Gate", "Hold", "available", "enough", "freezer", "gate", "hold", "serving_sum", "wanted"]


class Gate(NamedTuple):
    """Whether a route may move; else why not, and when that may change by itself."""

    is_open: bool
    reason: WaitReason = WaitReason.TRAFFIC_HELD
    text: str = ""
    timer_at_s: float | None = None


_OPEN: Final = Gate(is_open=True)


class Hold(NamedTuple):
    """Why a workload may neither shrink nor be deleted, and when that may end by itself."""

    text: str
    timer_at_s: float | None = None


def gate(route: Route, scene: Scene, desired: Desired, observed: Observed, now_s: float) -> Gate:
    """Rule 3: a moving route needs as many available pods of the wanted template as serve now, or as are wanted."""
    if route.desired is None or observed.switch_now == desired.row_version:
        return _OPEN
    if not route.picks:
        if _annotations(route).get(ANNOTATION_ALLOW_NO_BACKENDS) == "true":
            return _OPEN
        return Gate(is_open=False, reason=WaitReason.NO_BACKENDS, text=_no_backends(route))
    if not route.awaits and enough(
        available_sum(route.picks, scene), wanted_sum(route.picks, scene), serving_sum(route.leaves)
    ):
        return _OPEN
    text = _traffic_held(route, scene)
    if route.desired.skip_on_dependency_failure:
        return Gate(is_open=False, text=text)
    due_s = observed.held_since_s.get(route.ref, now_s) + route.desired.timeout_s
    return _OPEN if now_s >= due_s else Gate(is_open=False, text=text, timer_at_s=due_s)


def enough(have: int, want: int, serve: int) -> bool:
    """A(P) ≥ min(W(P), max(1, A(L))): what serves nobody any more yields to a single pod."""
    return have >= min(want, max(1, serve))


def freezer(scene: Scene, ref: ObjectRef) -> Route | None:
    """Rule 4: the route that still sends traffic to this workload (or to the one that this autoscaler sizes).

    None when nothing does, or when another moving route wants the workload: then it must be able to grow, and only
    its shrinking is held.
    """
    workload = scene.targets.get(ref, ref)
    leaving = next((r for r in scene.moving if _has(r.leaves, workload)), None)
    if leaving is None or any(_has(r.picks, workload) for r in scene.moving):
        return None
    return leaving


def hold(scene: Scene, ref: ObjectRef, desired: Desired, observed: Observed, now_s: float) -> Hold | None:
    """Rule 5: whether a workload that a route is leaving, or has left, must keep its size."""
    member = scene.members.get(scene.targets.get(ref, ref))
    if member is None:
        return None
    for route in scene.routes.values():
        if route.moving and _has(route.leaves, member.ref):
            return Hold(f"{route.id} has not moved yet")
        if route.live is None or member.id not in route.live.left or _has(route.picks, member.ref):
            continue
        have, want = available_sum(route.picks, scene), wanted_sum(route.picks, scene)
        if have < want:
            return Hold(f"{route.id} has left it, {_numbers(route.picks, scene)}")
        due_s = observed.left_since_s.get(route.ref, now_s) + desired.scale_down_delay_s
        if now_s < due_s:
            return Hold(f"{route.id} has left it, it stays for another {desired.scale_down_delay_s} s at most", due_s)
    return None


def wanted(member: Member, scene: Scene) -> int:
    """W: pods that the wanted form asks for.

    A size that is not ours counts as it is: the form names none (then at least the autoscaler's minimum), or somebody
    has scaled since the very same form was applied (then at least one, so that traffic never moves to nothing).
    """
    live = member.live.workload if member.live else None
    if member.desired is None:
        return live.wanted if live else 1
    if member.ref.kind == "DaemonSet":
        fresh = live is not None and member.live is not None and live.observed_generation >= member.live.generation
        return live.wanted if live and fresh else 1
    replicas = member.desired.replicas if live else member.desired.manifest["spec"].get("replicas")
    if isinstance(replicas, int):
        rescaled = live is not None and member.live is not None and member.live.applied_hash == member.desired.hash
        return max(live.wanted, min(1, replicas)) if live and rescaled else replicas
    least = scene.scaled[member.ref][1] if member.ref in scene.scaled else 0
    return max(live.wanted if live else 1, least)


def available(member: Member, scene: Scene) -> int:
    """A: available pods of the wanted template. A status from before the last change of the template counts nothing."""
    live = member.live
    if member.desired is not None and not member.desired.wait_for_ready:
        return wanted(member, scene)
    if live is None or live.deleting or _new_template(member):
        return 0
    counts = live.workload
    if counts is None:
        return wanted(member, scene) if live.readiness is Readiness.READY else 0
    if counts.observed_generation < live.generation:
        return 0
    return max(0, counts.available - max(0, counts.replicas - counts.updated))


def serving(member: Member) -> int:
    """Available pods of whatever template: what a route would leave."""
    if member.live is None:
        return 0
    if member.live.workload is None:
        return 1 if member.live.readiness is Readiness.READY else 0
    return member.live.workload.available


def available_sum(members: Iterable[Member], scene: Scene) -> int:
    """A over several workloads."""
    return sum(available(m, scene) for m in members)


def wanted_sum(members: Iterable[Member], scene: Scene) -> int:
    """W over several workloads."""
    return sum(wanted(m, scene) for m in members)


def serving_sum(members: Iterable[Member]) -> int:
    """What several workloads serve now."""
    return sum(serving(m) for m in members)


def _new_template(member: Member) -> bool:
    if member.desired is None or member.live is None:
        return False
    annotations = member.desired.manifest["metadata"].get("annotations") or {}
    template = annotations.get(ANNOTATION_TEMPLATE_HASH)
    if template is None:
        return member.live.applied_hash != member.desired.hash
    return bool(template != member.live.template_hash)


def _traffic_held(route: Route, scene: Scene) -> str:
    if route.awaits:
        return f"{', '.join(route.awaits)} not applied yet, {_still_serves(route)}"
    return f"{_numbers(route.picks, scene)}, {_still_serves(route)}"


def _no_backends(route: Route) -> str:
    return (
        f"no workload of this node matches {route.id}, {_still_serves(route)}; correct the row or the form, "
        f'or set {ANNOTATION_ALLOW_NO_BACKENDS}: "true" on {route.id}'
    )


def _numbers(members: Iterable[Member], scene: Scene) -> str:
    return ", ".join(f"{m.id} {available(m, scene)} of {wanted(m, scene)} available" for m in members)


def _still_serves(route: Route) -> str:
    return ", ".join(f"{m.id} still serves {serving(m)}" for m in route.leaves)


def _annotations(route: Route) -> dict[str, str]:
    return (route.desired.manifest["metadata"].get("annotations") or {}) if route.desired else {}


def _has(members: Iterable[Member], ref: ObjectRef) -> bool:
    return any(m.ref == ref for m in members)
