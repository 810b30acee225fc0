"""What rowplane's processes may ask of the API server, and no more.

Fed by: the kinds that forms make. Feeds: `rowplane check`, `rowplane rbac`. Never: performs I/O.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from shared.model.names import GROUP

__all__ = ["CAPTURE", "RECONCILER", "Right", "rights"]

CAPTURE: Final = "capture"
RECONCILER: Final = "reconciler"


class Right(NamedTuple):
    """A verb on a resource, and who needs it."""

    process: str
    """`capture` or `reconciler`."""
    group: str
    resource: str
    """Plural, with `/status` where the subresource is meant."""
    verb: str


def _of(process: str, group: str, resource: str, verbs: str) -> list[Right]:
    return [Right(process, group, resource, verb) for verb in verbs.split()]


_RIGHTS: Final = (
    *_of(CAPTURE, GROUP, "lynqhubs", "get list watch"),
    *_of(CAPTURE, GROUP, "lynqhubs/status", "patch"),
    *_of(CAPTURE, GROUP, "lynqforms", "list watch"),
    *_of(CAPTURE, GROUP, "lynqnodes", "list"),
    *_of(CAPTURE, "", "secrets", "get"),
    *_of(CAPTURE, "coordination.k8s.io", "leases", "get create update"),
    *_of(RECONCILER, GROUP, "lynqhubs", "get list watch patch"),
    *_of(RECONCILER, GROUP, "lynqhubs/status", "patch"),
    *_of(RECONCILER, GROUP, "lynqforms", "get list watch patch"),
    *_of(RECONCILER, GROUP, "lynqforms/status", "get patch update"),
    *_of(RECONCILER, GROUP, "lynqnodes", "get list watch create patch delete"),
    *_of(RECONCILER, GROUP, "lynqnodes/status", "patch"),
    *_of(RECONCILER, GROUP, "lynqhubs/finalizers", "update"),
    *_of(RECONCILER, GROUP, "lynqforms/finalizers", "update"),
    *_of(RECONCILER, GROUP, "lynqnodes/finalizers", "update"),
    *_of(RECONCILER, "apps", "controllerrevisions", "get list watch create patch delete"),
    *_of(RECONCILER, "coordination.k8s.io", "leases", "get list create update"),
    *_of(RECONCILER, "", "namespaces", "get"),
    *_of(RECONCILER, "events.k8s.io", "events", "create patch"),
    *_of(RECONCILER, "apiextensions.k8s.io", "customresourcedefinitions", "get list watch"),
)
_MANAGED_VERBS: Final = "get list watch create patch update delete"


def rights(managed: Iterable[tuple[str, str]]) -> tuple[Right, ...]:
    """What both processes do; `managed` are (group, plural) of the kinds that forms make."""
    more = [right for group, plural in sorted(managed) for right in _of(RECONCILER, group, plural, _MANAGED_VERBS)]
    return tuple(dict.fromkeys((*_RIGHTS, *more)))
