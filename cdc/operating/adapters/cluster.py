"""The cluster as the operator's commands see it: hubs and their logins, rights, definitions, Leases.

Fed by: the API server of KUBECONFIG. Feeds: cluster_rules, the other collectors. Never: keeps a Secret's value;
changes anything but annotations of hubs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from cdc.adapters.logins import SecretLogins
from cdc.operating.cluster_rules import ClusterFacts, CrdState, ForeignLease, crd_state
from cdc.operating.options import parse_hub
from cdc.ports import Login
from shared.clock import Clock, SystemClock, seconds_of
from shared.errors import ClusterRefused, InvalidError, ObjectNotFound, UsageError
from shared.kube import CRDS, FORMS, HUBS, LEASES, KubeClient, ResourceType
from shared.model.api import parse_object
from shared.model.crd import all_crds
from shared.model.form import Form
from shared.model.hub import Hub, MysqlSource
from shared.model.names import LYNQ_LEASE
from shared.model.rights import Right, rights
from shared.settings import load_kube

__all__ = ["Cluster"]

_REVIEWS: Final = ResourceType(
    "authorization.k8s.io/v1", "SelfSubjectAccessReview", "selfsubjectaccessreviews", namespaced=False
)


class Cluster:
    """A cluster to ask. Every method may raise ClusterError."""

    def __init__(self, client: KubeClient, clock: Clock) -> None:
        self.client = client
        self._clock = clock
        self._logins = SecretLogins(client)

    @classmethod
    def connect(cls) -> Cluster:
        """That of the environment. Raises UsageError when there is no configuration."""
        return cls(KubeClient.connect(load_kube(), pool_size=8), SystemClock())

    # -- hubs ------------------------------------------------------------------------------------------------------

    def hubs(self) -> list[Hub]:
        """All that name a table or a topic, of the namespace of the settings or of all, by name."""
        documents, _ = self.client.list(HUBS, self.client.namespace)
        hubs = [parse_object(Hub, document) for document in documents]
        return sorted((hub for hub in hubs if hub.server_id), key=lambda hub: hub.key)

    def hub(self, key: tuple[str, str]) -> Hub:
        """One. Raises InvalidError when it does not exist, or names neither table nor topic."""
        name = "/".join(key)
        try:
            hub = parse_object(Hub, self.client.get(HUBS, *key))
        except ObjectNotFound as error:
            raise InvalidError(
                f"LynqHub {name} does not exist", mend="kubectl get lynqhubs -A lists them", reason="HubMissing"
            ) from error
        if not hub.server_id:
            raise InvalidError(
                f"LynqHub {name} names no table", mend="Set source.mysql of the hub", reason="HubInvalid"
            )
        return hub

    def chosen(self, names: Sequence[str], *, every: bool = False) -> list[Hub]:
        """The named ones, all of them, or the only one; none before the first hub is there. Raises UsageError."""
        if names:
            return [self.hub(parse_hub(name)) for name in dict.fromkeys(names)]
        hubs = self.hubs()
        if len(hubs) > 1 and not every:
            raise UsageError(f"there are {len(hubs)} hubs", mend="Name one with --hub, or all with --all")
        return hubs

    def one(self, name: str) -> Hub:
        """The named one, or the only one. Raises UsageError, InvalidError."""
        if name:
            return self.hub(parse_hub(name))
        hubs = self.hubs()
        if len(hubs) != 1:
            raise UsageError(f"there are {len(hubs)} hubs", mend="Name one with --hub namespace/name")
        return hubs[0]

    def annotate(self, hub: Hub, annotations: Mapping[str, str | None]) -> None:
        """Set annotations of the hub; None takes one away."""
        self.client.merge_patch(HUBS, *hub.key, {"metadata": {"annotations": dict(annotations)}})

    def login(self, hub: Hub) -> Login:
        """The hub's account. Raises SourceRefused (SecretMissing)."""
        return self._logins.login(hub)

    # -- the check -------------------------------------------------------------------------------------------------

    def facts(self) -> ClusterFacts:
        """What the rules judge."""
        managed, unserved = self._managed()
        wanted = rights(managed)
        return ClusterFacts(
            server=self.client.server,
            namespace=self.client.namespace,
            missing=tuple(right for right in wanted if not self._may(right)),
            asked=len(wanted),
            crds={document["metadata"]["name"]: self._crd(document) for document in all_crds().values()},
            unserved=tuple(unserved),
            leases=self._leases(),
        )

    def _may(self, right: Right) -> bool:
        resource, _, subresource = right.resource.partition("/")
        attributes = {"group": right.group, "resource": resource, "subresource": subresource, "verb": right.verb}
        if self.client.namespace and right.resource != "customresourcedefinitions":
            attributes["namespace"] = self.client.namespace
        body = {
            "apiVersion": _REVIEWS.api_version,
            "kind": _REVIEWS.kind,
            "metadata": {},
            "spec": {"resourceAttributes": {name: value for name, value in attributes.items() if value}},
        }
        return bool(self.client.create(_REVIEWS, body)["status"]["allowed"])

    def _managed(self) -> tuple[set[tuple[str, str]], list[tuple[str, str]]]:
        """(group, plural) of the kinds that forms make, and (apiVersion, kind) of those that nobody serves."""
        managed: set[tuple[str, str]] = set()
        unserved: list[tuple[str, str]] = []
        for api_version, kind in sorted(_kinds(self._forms())):
            try:
                found = self.client.resource_type(api_version, kind)
            except ObjectNotFound:
                unserved.append((api_version, kind))
                continue
            managed.add((api_version.rpartition("/")[0], found.plural))
        return managed, unserved

    def _forms(self) -> list[Form]:
        try:
            documents, _ = self.client.list(FORMS, self.client.namespace)
        except (ObjectNotFound, ClusterRefused):
            return []  # told by the definitions, or the rights
        return [parse_object(Form, document) for document in documents]

    def _crd(self, ours: dict[str, Any]) -> CrdState:
        try:
            return crd_state(self.client.get(CRDS, "", ours["metadata"]["name"])["spec"], ours["spec"])
        except ObjectNotFound:
            return CrdState.MISSING
        except ClusterRefused:
            return CrdState.HIDDEN

    def _leases(self) -> tuple[ForeignLease, ...] | None:
        try:
            documents, _ = self.client.list(LEASES)
        except ClusterRefused:
            return None
        return tuple(self._lease(document) for document in documents if document["metadata"]["name"] == LYNQ_LEASE)

    def _lease(self, document: dict[str, Any]) -> ForeignLease:
        spec = document.get("spec") or {}
        renewed = spec.get("renewTime")
        age_s = self._clock.wall_s() - seconds_of(renewed) if renewed else float("inf")
        return ForeignLease(document["metadata"]["namespace"], str(spec.get("holderIdentity") or ""), max(0.0, age_s))


def source_of(hub: Hub) -> MysqlSource:
    """The hub's table. Raises InvalidError when it names none."""
    source = hub.spec.source.mysql
    if hub.source_topic:
        raise InvalidError(
            f"LynqHub {'/'.join(hub.key)} takes its rows from a Debezium topic: there is no database to ask",
            reason="NoDatabase",
        )
    if source is None:
        raise InvalidError(f"LynqHub {'/'.join(hub.key)} names no table", mend="Set source.mysql of the hub")
    return source


def _kinds(forms: Iterable[Form]) -> set[tuple[str, str]]:
    """(apiVersion, kind) of everything that the forms make, as far as it is not left to a template."""
    found: set[tuple[str, str]] = set()
    for form in forms:
        for typed, resource in form.spec.resources():
            api_version = str(resource.spec.get("apiVersion") or typed.api_version)
            kind = str(resource.spec.get("kind") or typed.kind)
            if api_version and kind and "{{" not in api_version + kind:
                found.add((api_version, kind))
    return found
