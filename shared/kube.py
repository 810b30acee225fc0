"""The Kubernetes API as plain dictionaries: get, list, server-side apply, delete, watch; errors as our own tree.

Uses the official client for configuration, authentication (token refresh, exec plugins) and its urllib3 pool, and
none of its models (they reject fields that a newer server adds).
Fed by: settings, adapters. Feeds: adapters of both processes. Never: retries; that is its callers' decision.
"""

from __future__ import annotations

import copy
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlencode

import urllib3
import yaml
from kubernetes import config as kube_config
from kubernetes.client.api_client import ApiClient
from kubernetes.client.configuration import Configuration

from shared.errors import ClusterUnreachable, ObjectInvalid, ObjectNotFound, UsageError
from shared.kube_errors import error_of
from shared.kube_stream import KubeWatch
from shared.model.names import API_VERSION
from shared.settings import KubeSettings

__all__ = [
    "CRDS",
    "FORMS",
    "HUBS",
    "LEASES",
    "NAMESPACES",
    "NODES",
    "REVISIONS",
    "SECRETS",
    "KubeClient",
    "KubeWatch",
    "ResourceType",
]

Gate = Callable[[], AbstractContextManager[None]]
"""Entered around each call that is no watch; hears of its errors."""

_TIMEOUT = urllib3.Timeout(connect=3.0, read=10.0)
_CREDENTIALS_S: Final = 5.0
"""The official client goes through configuration and environment for each request's headers: 0.08 of the 0.5 ms of
processor time that a request takes. It renews a token minutes before its end."""
_APPLY = "application/apply-patch+yaml"
_JSON = "application/json"
Query = Mapping[str, str] | None
_METADATA = f"{_JSON};as=%s;g=meta.k8s.io;v=v1"
"""Asks for metadata alone (Kubernetes API concepts, "Metadata-only fetches")."""


def _segment(name: str) -> str:
    """A name as part of a path: names come from rows, and one such as `../other` would be another object's path.

    Refused is what the API server refuses (IsValidPathSegmentName): it would answer 404, as for an object that is gone.
    """
    if name in (".", "..") or "/" in name or "%" in name:
        raise ObjectInvalid(f"{name!r} is no name of an object: it is no part of a path", status=422)
    return quote(name, safe=":@", errors="replace")


class ResourceType(NamedTuple):
    """A kind as the API serves it."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool = True

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The URL path of the collection or of one object. Raises ObjectInvalid for a name that no object can have."""
        base = f"/api/{self.api_version}" if "/" not in self.api_version else f"/apis/{self.api_version}"
        parts = [base]
        if self.namespaced and namespace:
            parts.append(f"namespaces/{namespace}")
        parts.append(self.plural)
        if name:
            parts.append(_segment(name))
        if subresource:
            parts.append(subresource)
        return "/".join(parts)


HUBS: Final = ResourceType(API_VERSION, "LynqHub", "lynqhubs")
FORMS: Final = ResourceType(API_VERSION, "LynqForm", "lynqforms")
NODES: Final = ResourceType(API_VERSION, "LynqNode", "lynqnodes")
NAMESPACES: Final = ResourceType("v1", "Namespace", "namespaces", namespaced=False)
SECRETS: Final = ResourceType("v1", "Secret", "secrets")
REVISIONS: Final = ResourceType("apps/v1", "ControllerRevision", "controllerrevisions")
LEASES: Final = ResourceType("coordination.k8s.io/v1", "Lease", "leases")
CRDS: Final = ResourceType(
    "apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions", namespaced=False
)


class KubeClient:
    """Thread-safe; one pool of connections."""

    def __init__(self, configuration: Configuration, namespace: str = "") -> None:
        self._configuration = configuration
        self.namespace = namespace
        """Where hubs and forms are looked for; empty means everywhere."""
        self.on_request: Callable[[str, int], None] = lambda _verb, _code: None
        """Told of every request: its verb and the answer's status, 0 when there was none."""
        self._client = ApiClient(configuration)
        self._pool: urllib3.PoolManager = self._client.rest_client.pool_manager
        self._types: dict[tuple[str, str], ResourceType] = {}
        self._types_lock = threading.Lock()
        self._timeout = _TIMEOUT
        self._gate: Gate = nullcontext
        self._credentials: tuple[dict[str, str], float] = {}, 0.0
        """Headers, and until when (monotonic seconds) they are used."""

    @classmethod
    def connect(cls, settings: KubeSettings, *, pool_size: int = 64) -> KubeClient:
        """A client for the kubeconfig, or for the pod's service account. Raises UsageError when there is neither."""
        configuration = Configuration()
        try:
            if settings.kubeconfig:
                kube_config.load_kube_config(  # type: ignore[no-untyped-call]  # the client has no annotation here
                    config_file=settings.kubeconfig,
                    context=settings.context or None,
                    client_configuration=configuration,
                )
            else:
                kube_config.load_config(  # type: ignore[no-untyped-call]  # the client has no annotation here
                    client_configuration=configuration
                )
        except (kube_config.ConfigException, OSError) as error:
            raise UsageError(
                f"Kubernetes configuration cannot be used: {error}",
                mend="Set KUBECONFIG to the path of a kubeconfig file",
            ) from error
        except (ValueError, TypeError, LookupError, AttributeError, yaml.YAMLError) as error:
            raise UsageError(
                f"Kubernetes configuration cannot be used: {settings.kubeconfig or 'it'} is no kubeconfig",
                mend="Set KUBECONFIG to the path of a kubeconfig file",
            ) from error
        configuration.connection_pool_maxsize = pool_size
        configuration.retries = False
        return cls(configuration, settings.namespace)

    @property
    def server(self) -> str:
        """The API server's URL."""
        return str(self._configuration.host)

    def through(self, gate: Gate, timeout_s: float) -> KubeClient:
        """The same connections; each call but a watch passes the gate, and its answer may take so long."""
        client = copy.copy(self)
        client._gate, client._timeout = gate, urllib3.Timeout(connect=3.0, read=timeout_s)
        return client

    def close(self) -> None:
        """Close pooled connections."""
        self._pool.clear()

    # -- verbs ---------------------------------------------------------------------------------------------------

    def get(self, kind: ResourceType, namespace: str, name: str) -> dict[str, Any]:
        """One object. Raises ObjectNotFound and the other Cluster errors."""
        return self._json("GET", kind.path(namespace, name))

    def get_path(self, path: str) -> dict[str, Any]:
        """Any JSON document of the API server, such as discovery and OpenAPI."""
        return self._json("GET", path)

    def list(
        self,
        kind: ResourceType,
        namespace: str = "",
        label_selector: str = "",
        page: int = 500,
        *,
        metadata_only: bool = False,
    ) -> tuple[list[dict[str, Any]], str]:
        """(all items with apiVersion and kind filled in, resourceVersion of the list), read page by page."""
        items: list[dict[str, Any]] = []
        told = ""
        for found, version in self.pages(kind, namespace, label_selector, page, metadata_only=metadata_only):
            items += found
            told = version
        return items, told

    def pages(
        self,
        kind: ResourceType,
        namespace: str = "",
        label_selector: str = "",
        page: int = 500,
        *,
        metadata_only: bool = False,
    ) -> Iterator[tuple[Sequence[dict[str, Any]], str]]:
        """(items of a page, resourceVersion of the list); the next page is asked for when it is wanted."""
        accept = _METADATA % "PartialObjectMetadataList" if metadata_only else _JSON
        query = {"limit": str(page)}
        if label_selector:
            query["labelSelector"] = label_selector
        while True:
            answer = self._json("GET", kind.path(namespace), query=query, accept=accept)
            items: Sequence[dict[str, Any]] = answer.get("items") or ()
            for item in items:
                item["apiVersion"], item["kind"] = kind.api_version, kind.kind
            yield items, str(answer["metadata"].get("resourceVersion", ""))
            token = answer["metadata"].get("continue")
            if not token:
                return
            query["continue"] = token

    def apply(
        self,
        kind: ResourceType,
        body: Mapping[str, Any],
        *,
        manager: str,
        force: bool = True,
        subresource: str = "",
        dry_run: bool = False,
    ) -> dict[str, Any]:
        """Server-side apply (Kubernetes API reference, "Server-Side Apply"); the answer is the live object.

        Raises FieldConflict when another manager owns a field, ObjectConflict when metadata.resourceVersion or uid
        in the body is not the live one, ObjectInvalid, ClusterRefused, ClusterBusy, ClusterUnreachable.
        """
        metadata = body["metadata"]
        query = {"fieldManager": manager, "force": "true" if force else "false"}
        if dry_run:
            query["dryRun"] = "All"
        path = kind.path(metadata.get("namespace", ""), metadata["name"], subresource)
        return self._json("PATCH", path, query=query, body=body, content_type=_APPLY)

    def merge_patch(
        self, kind: ResourceType, namespace: str, name: str, body: Mapping[str, Any], query: Query = None
    ) -> dict[str, Any]:
        """JSON merge patch (RFC 7386). Raises ObjectConflict when it holds another uid or resourceVersion than the live
        object, ObjectNotFound. `query`, here and below: fieldManager, dryRun."""
        path = kind.path(namespace, name)
        return self._json("PATCH", path, query=query, body=body, content_type="application/merge-patch+json")

    def create(self, kind: ResourceType, body: Mapping[str, Any], query: Query = None) -> dict[str, Any]:
        """POST. Raises ObjectConflict when it exists."""
        return self._json("POST", kind.path(body["metadata"].get("namespace", "")), query=query, body=body)

    def replace(self, kind: ResourceType, body: Mapping[str, Any], query: Query = None) -> dict[str, Any]:
        """PUT. Raises ObjectConflict when uid or resourceVersion in the body are not the live ones, ObjectNotFound."""
        metadata = body["metadata"]
        path = kind.path(metadata.get("namespace", ""), metadata["name"])
        return self._json("PUT", path, query=query, body=body)

    def delete(
        self, kind: ResourceType, namespace: str, name: str, *, uid: str = "", resource_version: str = ""
    ) -> dict[str, Any]:
        """DELETE in the background, with preconditions. Raises ObjectConflict when they do not hold, ObjectNotFound."""
        preconditions = {k: v for k, v in (("uid", uid), ("resourceVersion", resource_version)) if v}
        body: dict[str, Any] = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"}
        if preconditions:
            body["preconditions"] = preconditions
        return self._json("DELETE", kind.path(namespace, name), body=body)

    def watch(
        self,
        kind: ResourceType,
        resource_version: str,
        *,
        namespace: str = "",
        label_selector: str = "",
        silence_s: float = 70.0,
        metadata_only: bool = False,
    ) -> KubeWatch:
        """Open a watch with bookmarks; a connection without a byte for `silence_s` is dead."""
        query = {"watch": "1", "resourceVersion": resource_version, "allowWatchBookmarks": "true"}
        if label_selector:
            query["labelSelector"] = label_selector
        response = self._request(
            "GET",
            kind.path(namespace),
            query=query,
            timeout=urllib3.Timeout(connect=3.0, read=silence_s),
            stream=True,
            accept=_METADATA % "PartialObjectMetadata" if metadata_only else _JSON,
        )
        return KubeWatch(response, f"watch of {kind.plural}")

    def resource_type(self, api_version: str, kind: str) -> ResourceType:
        """Plural and scope by discovery, cached; a miss asks again. Raises ObjectNotFound for a kind not served."""
        with self._types_lock:
            known = self._types.get((api_version, kind))
        if known:
            return known
        path = f"/api/{api_version}" if "/" not in api_version else f"/apis/{api_version}"
        try:
            answer = self.get_path(path)
        except ObjectNotFound as error:
            raise ObjectNotFound(
                f"{api_version} {kind} is not served by the API server", mend=_install(api_version), status=404
            ) from error
        found = {
            (api_version, r["kind"]): ResourceType(api_version, r["kind"], r["name"], bool(r["namespaced"]))
            for r in answer.get("resources") or ()
            if "/" not in r["name"]
        }
        with self._types_lock:
            self._types.update(found)
        if (api_version, kind) not in found:
            raise ObjectNotFound(
                f"{api_version} {kind} is not served by the API server", mend=_install(api_version), status=404
            )
        return found[api_version, kind]

    # -- HTTP ----------------------------------------------------------------------------------------------------

    def _headers(self, accept: str) -> dict[str, str]:
        headers, until_s = self._credentials
        now_s = time.monotonic()
        if now_s > until_s:
            settings: Any = self._configuration.auth_settings()
            found = [auth for auth in settings.values() if auth["in"] == "header" and auth["value"]]
            headers = {auth["key"]: auth["value"] for auth in found}
            self._credentials = headers, now_s + _CREDENTIALS_S
        return {"Accept": accept, **headers}

    def _json(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        content_type: str = _JSON,
        accept: str = _JSON,
    ) -> dict[str, Any]:
        with self._gate():
            response = self._request(
                method, path, query=query, body=body, content_type=content_type, accept=accept, timeout=self._timeout
            )
        try:
            document: dict[str, Any] = json.loads(response.data)
        except (ValueError, urllib3.exceptions.HTTPError) as error:
            raise ClusterUnreachable(f"{method} {path}: the answer of {self.server} is not JSON") from error
        return document

    def _request(  # noqa: PLR0913  # the one place that speaks HTTP
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        content_type: str = _JSON,
        accept: str = _JSON,
        timeout: urllib3.Timeout,
        stream: bool = False,
    ) -> urllib3.BaseHTTPResponse:
        url = f"{self.server}{path}" + (f"?{urlencode(query)}" if query else "")
        headers = self._headers(accept)
        data: bytes | None = None
        if body is not None:
            data = json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass")
            headers["Content-Type"] = content_type
        try:
            response = self._pool.request(
                method, url, body=data, headers=headers, timeout=timeout, preload_content=not stream, retries=False
            )
        except urllib3.exceptions.HTTPError as error:
            self.on_request(_verb(method, query or {}, content_type), 0)
            raise ClusterUnreachable(
                f"API server {self.server} does not answer {method} {path}: {type(error).__name__}",
                mend="Check that it is up and that the kubeconfig names it",
            ) from error
        self.on_request(_verb(method, query or {}, content_type), response.status)
        if response.status == 401:
            self._credentials = {}, 0.0
        if response.status >= 400:
            raise error_of(method, path, response.status, response.data, response.headers.get("Retry-After") or "1")
        return response


def _verb(method: str, query: Mapping[str, str], content_type: str) -> str:
    """The verb as the API server's own metrics name it."""
    if method == "GET":
        return "watch" if "watch" in query else "list" if "limit" in query else "get"
    if method == "PATCH":
        return "apply" if content_type == _APPLY else "patch"
    return {"POST": "create", "PUT": "update", "DELETE": "delete"}[method]


def _install(api_version: str) -> str:
    return "Run `rowplane crds --install`" if api_version == API_VERSION else "Install its CRD"
