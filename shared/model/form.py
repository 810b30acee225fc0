"""LynqForm: the template of the resources that each active row gets.

Fed by: the cluster, or a YAML file. Feeds: rendering. Never: renders or checks templates.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Final, NamedTuple

from pydantic import Field

from shared.model.api import ApiModel, Condition, FreeObject, Int32, Int64, Metadata, Time

__all__ = [
    "ARRAYS",
    "ConflictPolicy",
    "CreationPolicy",
    "DeletionPolicy",
    "Form",
    "FormSpec",
    "FormStatus",
    "PatchStrategy",
    "ResourceArrays",
    "Rollout",
    "TResource",
    "TemplateEngine",
    "Typed",
]


class CreationPolicy(StrEnum):
    """When a resource is applied."""

    ONCE = "Once"
    WHEN_NEEDED = "WhenNeeded"


class DeletionPolicy(StrEnum):
    """What becomes of the object when its node or template goes."""

    DELETE = "Delete"
    RETAIN = "Retain"


class ConflictPolicy(StrEnum):
    """What to do about fields that another manager owns."""

    STUCK = "Stuck"
    FORCE = "Force"


class PatchStrategy(StrEnum):
    """How the object is written: server-side apply, JSON merge patch (RFC 7386), or PUT."""

    APPLY = "apply"
    MERGE = "merge"
    REPLACE = "replace"


class TemplateEngine(StrEnum):
    """The language of a form's templates."""

    GO = "go"
    JINJA2 = "jinja2"


class Typed(NamedTuple):
    """The apiVersion and kind that a bare spec under this array implies; empty where none is implied."""

    api_version: str
    kind: str


ARRAYS: Final[dict[str, Typed]] = {
    "service_accounts": Typed("v1", "ServiceAccount"),
    "deployments": Typed("apps/v1", "Deployment"),
    "stateful_sets": Typed("apps/v1", "StatefulSet"),
    "daemon_sets": Typed("apps/v1", "DaemonSet"),
    "services": Typed("v1", "Service"),
    "ingresses": Typed("networking.k8s.io/v1", "Ingress"),
    "config_maps": Typed("v1", "ConfigMap"),
    "secrets": Typed("v1", "Secret"),
    "persistent_volume_claims": Typed("v1", "PersistentVolumeClaim"),
    "jobs": Typed("batch/v1", "Job"),
    "cron_jobs": Typed("batch/v1", "CronJob"),
    "pod_disruption_budgets": Typed("policy/v1", "PodDisruptionBudget"),
    "network_policies": Typed("networking.k8s.io/v1", "NetworkPolicy"),
    "horizontal_pod_autoscalers": Typed("autoscaling/v2", "HorizontalPodAutoscaler"),
    "namespaces": Typed("v1", "Namespace"),
    "manifests": Typed("", ""),
}
"""The sixteen arrays in collection order."""


class TResource(ApiModel):
    """One resource of a form."""

    id: str
    spec: FreeObject
    depend_ids: list[str] = Field(default_factory=list)
    skip_on_dependency_failure: bool = True
    creation_policy: CreationPolicy = CreationPolicy.WHEN_NEEDED
    deletion_policy: DeletionPolicy = DeletionPolicy.DELETE
    conflict_policy: ConflictPolicy = ConflictPolicy.STUCK
    name_template: str = ""
    target_namespace: str = ""
    labels_template: dict[str, str] = Field(default_factory=dict)
    annotations_template: dict[str, str] = Field(default_factory=dict)
    wait_for_ready: bool = True
    timeout_seconds: Annotated[Int32, Field(ge=1, le=3600)] = 300
    patch_strategy: PatchStrategy = PatchStrategy.APPLY
    ignore_fields: list[str] = Field(default_factory=list)


_Items = Annotated[list[TResource], Field(default_factory=list)]


class ResourceArrays(ApiModel):
    """The sixteen arrays; a form's are list-maps by id."""

    service_accounts: _Items
    deployments: _Items
    stateful_sets: _Items
    daemon_sets: _Items
    services: _Items
    ingresses: _Items
    config_maps: _Items
    secrets: _Items
    persistent_volume_claims: _Items
    jobs: _Items
    cron_jobs: _Items
    pod_disruption_budgets: _Items
    network_policies: _Items
    horizontal_pod_autoscalers: _Items
    namespaces: _Items
    manifests: _Items

    def resources(self) -> Iterator[tuple[Typed, TResource]]:
        """(implied type, resource) of all arrays in collection order."""
        for field, typed in ARRAYS.items():
            for resource in getattr(self, field):
                yield typed, resource


class Rollout(ApiModel):
    """How a change of the form reaches the nodes."""

    max_skew: Annotated[Int32, Field(ge=0)] = 0
    progress_deadline_seconds: Annotated[Int32, Field(ge=60, le=3600)] = 600
    scale_down_delay_seconds: Annotated[Int32, Field(ge=0, le=86400)] = Field(
        default=10, description="How long a workload that traffic has left keeps its pods."
    )


class FormSpec(ResourceArrays):
    """What the user writes."""

    hub_id: str
    rollout: Rollout | None = None
    template_engine: TemplateEngine | None = Field(
        default=None, description="Language of the templates: go (text/template with Sprig; the default) or jinja2."
    )
    allow_nondeterministic: bool | None = Field(
        default=None,
        description="Admits now, uuidv4, randAlphaNum and their like in resources with creationPolicy Once.",
    )
    allowed_namespaces: list[str] = Field(
        default_factory=list,
        description="Namespaces that its resources may go to besides its own, as shell patterns; empty: any.",
    )
    allowed_kinds: list[str] = Field(
        default_factory=list,
        description="Kinds that it may make, as Kind or Kind.group (Deployment.apps); empty: any.",
    )


class RolloutStatus(ApiModel):
    """Progress of a form change."""

    phase: Annotated[str, Field(json_schema_extra={"enum": ["Idle", "InProgress", "Failed", "Complete"]})] | None = None
    target_generation: Int64 | None = None
    total_nodes: Int32 | None = None
    updated_nodes: Int32 | None = None
    updating_nodes: Int32 | None = None
    ready_updated_nodes: Int32 | None = None
    updating: list[str] = Field(
        default_factory=list, description="LynqNodes that hold a slot: at most maxSkew, changed by compare-and-swap."
    )
    start_time: Time | None = None
    completion_time: Time | None = None
    message: str | None = None


class FormStatus(ApiModel):
    """What rowplane reports."""

    observed_generation: Int64 | None = None
    total_nodes: Int32 | None = None
    ready_nodes: Int32 | None = None
    rollout: RolloutStatus | None = None
    conditions: list[Condition] = Field(default_factory=list)


class Form(ApiModel):
    """A LynqForm of the cluster."""

    metadata: Metadata
    spec: FormSpec
    status: FormStatus = FormStatus()

    @property
    def key(self) -> tuple[str, str]:
        """(namespace, name)."""
        return self.metadata.namespace, self.metadata.name

    @property
    def hub_key(self) -> tuple[str, str]:
        """(namespace, name) of its hub: always in the form's own namespace."""
        return self.metadata.namespace, self.spec.hub_id
