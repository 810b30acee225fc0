"""The cluster's OpenAPI v3 documents, one a group and version, fetched when a form first needs them.

Fed by: /openapi/v3 of the API server. Feeds: core/schema.py. Never: interprets a schema.
"""

from __future__ import annotations

import threading

import structlog

from reconciler.core.schema import Schemas
from shared.errors import ObjectNotFound
from shared.kube import KubeClient

__all__ = ["OpenApi"]

log = structlog.get_logger(__name__)


class OpenApi:
    """Loads what is missing; what was loaded stays until `forget`."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._schemas = Schemas()
        self._loaded: set[str] = set()

    def schemas_for(self, kinds: frozenset[tuple[str, str]]) -> Schemas:
        """Schemas that know these (apiVersion, kind), as far as the server serves them. Raises ClusterError."""
        with self._lock:
            for api_version in sorted({v for v, _ in kinds} - self._loaded):
                path = f"api/{api_version}" if "/" not in api_version else f"apis/{api_version}"
                try:
                    self._schemas.add(self._client.get_path(f"/openapi/v3/{path}"))
                    self._loaded.add(api_version)
                except ObjectNotFound:
                    log.warning("API group is not served, its values keep their text", api_version=api_version)
            return self._schemas
