"""The order of a form's resources by their dependIds, and a circle in it.

Fed by: validation and next.py. Feeds: the order of writes. Never: looks at a rendered object.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

__all__ = ["Dependent", "find_cycle", "order", "sequence"]


class Dependent(Protocol):
    """Anything with an id and the ids that it depends on: a form's resource, a rendered object."""

    @property
    def id(self) -> str:
        """Unique in its form."""

    @property
    def depend_ids(self) -> Sequence[str]:
        """Ids that come first."""


def order(objects: Iterable[Dependent]) -> tuple[str, ...]:
    """Ids in dependency order, in collection order among equals (those with an equally long chain before them).

    Total: an unknown dependency (a resource that could not be rendered) is passed over.
    """
    return sequence({item.id: item.depend_ids for item in objects})


def sequence(edges: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Ids of `edges` (id → ids it depends on) in dependency order; ids that are no key are passed over.

    Total: ids of a cycle, and those behind it, come last in collection order.
    """
    place = {name: index for index, name in enumerate(edges)}
    open_count = {name: len({want for want in wants if want in place}) for name, wants in edges.items()}
    dependents: dict[str, list[str]] = {}
    for name, wants in edges.items():
        for want in dict.fromkeys(wants):
            dependents.setdefault(want, []).append(name)
    done: list[str] = []
    level = [name for name, count in open_count.items() if not count]
    while level:
        done += level
        freed: list[str] = []
        for name in level:
            for dependent in dependents.get(name, ()):
                open_count[dependent] -= 1
                if not open_count[dependent]:
                    freed.append(dependent)
        level = sorted(freed, key=place.__getitem__)
    return (*done, *(name for name, count in open_count.items() if count)) if len(done) < len(place) else tuple(done)


def find_cycle(edges: Mapping[str, Sequence[str]]) -> tuple[str, ...] | None:
    """The ids of one cycle in the order of the dependency, starting with the one that comes first; None without."""
    done: set[str] = set()
    for start in edges:
        path: list[str] = []
        stack = [iter((start,))]
        while stack:
            name = next(stack[-1], None)
            if name is None:
                stack.pop()
                if path:
                    done.add(path.pop())
            elif name in path:
                return tuple(path[path.index(name) :])
            elif name in edges and name not in done:
                path.append(name)
                stack.append(iter(edges[name]))
    return None
