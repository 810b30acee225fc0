"""Which workloads a node's routes send traffic to, now and as wanted, and which of them a move would leave.

A *route* is a Service with a selector, or an Ingress or HTTPRoute through its Services. It *picks* the objects of its
node whose pods' labels contain the selector: P by what is rendered, for what serves now by what is live. L is what
serves now and is not in P. A route *moves* when L is not empty; one that takes traffic from nobody needs no gate.

Fed by: next.py. Feeds: gates.py. Never: decides whether a route may move.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from reconciler.core.objects import Absent, Desired, DesiredObject, ObjectRef, Observed, ObservedObject
from reconciler.core.slim import pod_labels, route_backends, route_selector, scale_target
from shared.model.form import CreationPolicy

__all__ = ["Member", "Route", "Scene", "survey"]

_Place = tuple[str, str]
"""(namespace, name) of a Service."""


@dataclass(frozen=True, slots=True)
class Member:
    """An object of the node that makes pods."""

    id: str
    ref: ObjectRef
    desired: DesiredObject | None
    """None: no longer rendered, or it could not be rendered."""
    live: ObservedObject | None
    labels: Mapping[str, str] | None
    """Labels of the wanted pods; None when the object is no longer wanted."""


@dataclass(frozen=True, slots=True)
class Route:
    """A route that exists: live, or deleted by somebody else after we had applied it."""

    id: str
    ref: ObjectRef
    desired: DesiredObject | None
    """None: it stays as it is, since it could not be rendered or is only ever written once."""
    live: ObservedObject | None
    picks: tuple[Member, ...]
    """P."""
    leaves: tuple[Member, ...] = ()
    """L."""
    moving: bool = False
    """L is not empty and the route has not moved yet."""
    returned: bool = False
    """It picks, without having to move, what an earlier move has left: that is to be forgotten."""
    awaits: tuple[str, ...] = ()
    """Names of Services that it is to point to and does not yet, and that are not applied as wanted."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A node's routes and what they pick."""

    members: Mapping[ObjectRef, Member]
    routes: Mapping[ObjectRef, Route]
    scaled: Mapping[ObjectRef, tuple[ObjectRef, int]]
    """Workload → (the wanted autoscaler that sizes it, least replicas)."""
    targets: Mapping[ObjectRef, ObjectRef]
    """Wanted autoscaler → the workload that it sizes."""

    @property
    def moving(self) -> Iterator[Route]:
        """Routes that have not moved yet."""
        return (route for route in self.routes.values() if route.moving)


def survey(desired: Desired, observed: Observed) -> Scene:
    """The scene of a node of which every object is known (live or absent)."""
    wanted = {item.ref: item for item in desired.objects}
    members = {m.ref: m for m in _members(desired, observed, wanted)}
    builder = _Routes(desired, observed, members)
    routes = {route.ref: route for route in builder.all()}
    scaled = dict(_scaled(desired.objects, members))
    return Scene(members, routes, scaled, {scaler: workload for workload, (scaler, _) in scaled.items()})


def _members(desired: Desired, observed: Observed, wanted: Mapping[ObjectRef, DesiredObject]) -> Iterator[Member]:
    for item in desired.objects:
        labels = pod_labels(item.manifest)
        if labels is not None:
            yield Member(item.id, item.ref, item, _live(observed, item.ref), labels)
    for name, ref in observed.inventory:
        live = None if ref in wanted else _live(observed, ref)
        if live is not None and live.pod_labels is not None:
            yield Member(name, ref, None, live, live.pod_labels if name in desired.failed else None)


def _scaled(
    objects: Iterable[DesiredObject], members: Mapping[ObjectRef, Member]
) -> Iterator[tuple[ObjectRef, tuple[ObjectRef, int]]]:
    for item in objects:
        if target := scale_target(item.manifest):
            kind, name, least = target
            for ref in members:
                if (ref.namespace, ref.kind, ref.name) == (item.ref.namespace, kind, name):
                    yield ref, (item.ref, least)


class _Routes:
    """Finds the routes of one node; holds the look-ups that all of them share."""

    def __init__(self, desired: Desired, observed: Observed, members: Mapping[ObjectRef, Member]) -> None:
        self._desired = desired
        self._observed = observed
        self._members = members
        self._applied = {ref for _, ref in observed.inventory}
        self._wanted: dict[_Place, Mapping[str, str]] = {}
        self._live: dict[_Place, Mapping[str, str]] = {}
        self._unsettled: set[_Place] = set()
        self._read_services()

    def _read_services(self) -> None:
        for item in self._desired.objects:
            if item.ref.kind != "Service":
                continue
            place, live = (item.ref.namespace, item.ref.name), _live(self._observed, item.ref)
            if selector := route_selector(item.manifest):
                self._wanted[place] = selector
            if live is None or live.applied_hash != item.hash:
                self._unsettled.add(place)
        for seen in self._observed.objects.values():
            if isinstance(seen, ObservedObject) and seen.selector:
                self._live[seen.ref.namespace, seen.ref.name] = seen.selector
        for name, ref in self._observed.inventory:
            place = (ref.namespace, ref.name)
            if ref.kind == "Service" and name in self._desired.failed and place in self._live:
                self._wanted.setdefault(place, self._live[place])

    def all(self) -> Iterator[Route]:
        """Every route that exists."""
        for item in self._desired.objects:
            live = _live(self._observed, item.ref)
            if live is None and item.ref not in self._applied:
                continue
            if live is not None and live.once and item.creation_policy is CreationPolicy.ONCE:
                if live.selector or live.backends:
                    yield Route(item.id, item.ref, None, live, tuple(self._present(live)))
            elif item.ref.kind == "Service":
                selector = route_selector(item.manifest)
                if selector or (live is not None and live.selector):
                    yield self._service(item, live, selector)
            elif backends := route_backends(item.manifest):
                yield self._fronting(item, live, backends)
            elif live is not None and live.backends:
                yield self._fronting(item, live, ())
        for name, ref in self._observed.inventory:
            live = _live(self._observed, ref)
            if name in self._desired.failed and live is not None and (live.selector or live.backends):
                yield Route(name, ref, None, live, tuple(self._present(live)))

    def _service(self, item: DesiredObject, live: ObservedObject | None, selector: Mapping[str, str] | None) -> Route:
        picks = tuple(self._picked(selector, item.ref.namespace, live=False))
        if live is None:
            return Route(item.id, item.ref, item, None, picks)
        leaves = _without(self._present(live), picks)
        moving = _moving(item, live, leaves, aimed=live.selector == selector)
        return Route(item.id, item.ref, item, live, picks, leaves, moving, _returned(live, picks, leaves))

    def _fronting(self, item: DesiredObject, live: ObservedObject | None, backends: tuple[str, ...]) -> Route:
        """An Ingress or HTTPRoute. It leaves what is behind the Services that it drops; a Service's own move is not
        its business."""
        space = item.ref.namespace
        picks = tuple(_union(self._picked(self._wanted.get((space, name)), space, live=False) for name in backends))
        if live is None:
            return Route(item.id, item.ref, item, None, picks)
        dropped = [name for name in live.backends if name not in backends]
        serving = _union(self._picked(self._live.get((space, name)), space, live=True) for name in dropped)
        leaves = _without(serving, picks)
        moving = _moving(item, live, leaves, aimed=live.backends == backends)
        awaits = tuple(n for n in backends if n not in live.backends and (space, n) in self._unsettled)
        return Route(item.id, item.ref, item, live, picks, leaves, moving, _returned(live, picks, leaves), awaits)

    def _present(self, live: ObservedObject) -> Iterator[Member]:
        """What a live route picks now."""
        space = live.ref.namespace
        if live.selector:
            return self._picked(live.selector, space, live=True)
        return _union(self._picked(self._live.get((space, name)), space, live=True) for name in live.backends)

    def _picked(self, selector: Mapping[str, str] | None, namespace: str, *, live: bool) -> Iterator[Member]:
        if not selector:
            return
        for member in self._members.values():
            if member.ref.namespace != namespace:
                continue
            labels = member.live.pod_labels if live and member.live else None if live else member.labels
            if labels is not None and selector.items() <= labels.items():
                yield member


def _moving(item: DesiredObject, live: ObservedObject, leaves: tuple[Member, ...], *, aimed: bool) -> bool:
    """A route has moved when it says what is wanted and remembers whom it left.

    It can be aimed right and still have to move: when labels of pods change, or a workload gets another name, the
    picks of an unchanged selector change.
    """
    if not leaves:
        return False
    return not aimed or live.applied_hash != item.hash or not {m.id for m in leaves} <= set(live.left)


def _returned(live: ObservedObject, picks: tuple[Member, ...], leaves: tuple[Member, ...]) -> bool:
    return bool(live.left) and not leaves and any(m.id in live.left for m in picks)


def _union(groups: Iterable[Iterable[Member]]) -> Iterator[Member]:
    seen: set[ObjectRef] = set()
    for group in groups:
        for member in group:
            if member.ref not in seen:
                seen.add(member.ref)
                yield member


def _without(members: Iterable[Member], others: tuple[Member, ...]) -> tuple[Member, ...]:
    refs = {m.ref for m in others}
    return tuple(m for m in members if m.ref not in refs)


def _live(observed: Observed, ref: ObjectRef) -> ObservedObject | None:
    seen = observed.objects.get(ref)
    return None if seen is None or isinstance(seen, Absent) else seen
