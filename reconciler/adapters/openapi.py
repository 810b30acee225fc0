"""The types of the cluster's kinds, as they are now: custom ones by their CRDs, all others by OpenAPI v3.

Fed by: /openapi/v3 and the CRDs of the API server. Feeds: core/schema.py. Never: interprets a schema; never changes a
`Schemas` that it gave away.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Final

import structlog

from reconciler.adapters.crd_types import CrdTypes
from reconciler.core.openapi_trim import trim, types_of
from reconciler.core.schema import Kind, Schema, Schemas
from shared.errors import ClusterRefused
from shared.kube import KubeClient

__all__ = ["POLL_S", "ClusterTypes", "OpenApi", "live_schemas"]

log = structlog.get_logger(__name__)

POLL_S: Final = 30.0
"""How often OpenAPI is asked again for kinds of which no watch can tell that they came."""
_LAG_S: Final = 1.0
"""How soon a CRD is looked at again that the server's own discovery does not know yet."""


class OpenApi:
    """Documents of /openapi/v3, one a group and version; one whose hash did not change is not fetched again."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client
        self._documents: dict[str, tuple[str, dict[Kind, Schema]]] = {}

    def types(self, api_versions: Iterable[str]) -> dict[Kind, Schema]:
        """The kinds of these groups and versions, as far as they are served. Raises ClusterError."""
        wanted = sorted(set(api_versions))
        if not wanted:
            return {}
        index = self._client.get_path("/openapi/v3").get("paths") or {}
        found: dict[Kind, Schema] = {}
        for api_version in wanted:
            entry = index.get(f"apis/{api_version}" if "/" in api_version else f"api/{api_version}")
            if entry is None:
                self._documents.pop(api_version, None)
                continue
            url = str(entry["serverRelativeURL"])
            known = self._documents.get(api_version)
            if known is None or known[0] != url:
                known = url, types_of(trim(self._client.get_path(url)))
                self._documents[api_version] = known
            found |= known[1]
        return found


class ClusterTypes:
    """The types of the kinds that are asked for; a kind that did not change keeps its `Schema` from call to call."""

    def __init__(self, client: KubeClient) -> None:
        self._crds = CrdTypes(client)
        self._openapi = OpenApi(client)
        self._lock = threading.Lock()
        self._groups: frozenset[str] = frozenset()
        self._on_change: Callable[[], None] | None = None
        self._refused = False
        self.poll_s: float | None = None
        """Seconds after which to ask again, when no event may come for what is missing; None: events suffice."""

    def watch(self, on_change: Callable[[], None]) -> None:
        """From now on tell when a CRD changes in a group that was asked for."""
        self._on_change = on_change

    def stop(self) -> None:
        """End the watch."""
        self._crds.stop()

    def read(self, kinds: frozenset[Kind]) -> tuple[Schemas, frozenset[Kind]]:
        """(types of these kinds, kinds that the server does not serve). Raises ClusterError."""
        with self._lock:
            self._groups = frozenset(group for version, _ in kinds if "." in (group := _group(version)))
            custom = self._custom()
            if custom is None:
                types = self._openapi.types(version for version, _ in kinds)
            else:
                types = custom | self._openapi.types(v for v, _ in kinds if not self._crds.owns(_group(v)))
            schemas = Schemas({kind: types[kind] for kind in kinds if kind in types})
            missing = kinds - schemas.types.keys()
            polled = custom is None or any(not self._crds.owns(_group(version)) for version, _ in missing)
            self.poll_s = _LAG_S if self._crds.lags else POLL_S if polled else None
            return schemas, missing

    def _custom(self) -> dict[Kind, Schema] | None:
        """Types of the CRDs of the groups; None when they may not be read."""
        if not self._groups:
            return {}  # a group without a dot is never a CRD's
        try:
            if self._on_change is None:
                self._crds.list()
            else:
                self._crds.watch(self._changed)
            found = self._crds.types(self._groups)
        except ClusterRefused as error:
            if not self._refused:
                log.warning("CRDs cannot be read, their types come from OpenAPI", error=str(error))
            self._refused = True
            return None
        self._refused = False
        return found

    def _changed(self, group: str) -> None:
        if group in self._groups and self._on_change is not None:
            self._on_change()


def live_schemas(client: KubeClient, kinds: frozenset[Kind]) -> tuple[Schemas, frozenset[Kind]]:
    """(types of these kinds as the cluster has them now, kinds that it does not serve). Raises ClusterError."""
    return ClusterTypes(client).read(kinds)


def _group(api_version: str) -> str:
    return api_version.rpartition("/")[0]
