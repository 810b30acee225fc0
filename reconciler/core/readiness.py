"""How a live object stands: ready, on its way, or failed, by the rules of its kind and API group.

Fed by: slim.py, with the raw object. Feeds: next.py, which lets dependents wait. Never: looks at anything but the
object itself, so it knows neither pods nor storage classes.

The rules are those of `kubectl rollout status` and of Lynq's table, mended where that table never says yes: what is
scaled to zero, or runs on no machine, is ready when that is what was asked; a failed Job has failed at once; a claim
that no provisioner works on is not waited for (see `_claim`); a custom resource without a condition that speaks of
readiness is ready once it exists.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from reconciler.core.objects import Readiness

__all__ = ["Standing", "assess"]

_SPEAKING: Final = ("Ready", "Available", "Healthy", "Established", "Synced", "Accepted")
"""Condition types that say whether an object of an unknown kind is ready; the first one it has decides."""

_PROVISIONER: Final = (
    "volume.kubernetes.io/storage-provisioner",
    "volume.beta.kubernetes.io/storage-provisioner",
)


class Standing(NamedTuple):
    """The answer: readiness and, unless ready, why in words."""

    readiness: Readiness
    message: str = ""


_READY: Final = Standing(Readiness.READY)


def assess(raw: Mapping[str, Any]) -> Standing:
    """Standing of a raw live object; missing fields read as nothing. An object under deletion is not ready."""
    if _map(raw, "metadata").get("deletionTimestamp"):
        return _progressing("is being deleted")
    group = str(raw.get("apiVersion") or "").rpartition("/")[0]
    rule = _RULES.get((group, str(raw.get("kind") or "")), _by_conditions)
    return rule(raw)


def _deployment(raw: Mapping[str, Any]) -> Standing:
    if stale := _stale(raw):
        return stale
    status = _map(raw, "status")
    return _counted(raw, available=_int(status, "availableReplicas"), updated=_int(status, "updatedReplicas"))


def _stateful_set(raw: Mapping[str, Any]) -> Standing:
    if stale := _stale(raw):
        return stale
    status, strategy = _map(raw, "status"), _map(_map(raw, "spec"), "updateStrategy")
    available = _int(status, "availableReplicas" if "availableReplicas" in status else "readyReplicas")
    partition = _int(_map(strategy, "rollingUpdate"), "partition")
    if strategy.get("type") == "OnDelete" or partition:
        wanted = _wanted(raw)
        updated = wanted if strategy.get("type") == "OnDelete" else _int(status, "updatedReplicas") + partition
        if updated >= wanted and available >= wanted:
            return _READY
        return _progressing(f"{available} of {wanted} replicas are available")
    return _counted(raw, available=available, updated=_int(status, "updatedReplicas"))


def _counted(raw: Mapping[str, Any], *, available: int, updated: int) -> Standing:
    """Replicas against what was asked: enough updated, no old pod left, enough available."""
    wanted, replicas = _wanted(raw), _int(_map(raw, "status"), "replicas")
    because = _trouble(raw)
    if updated < wanted:
        return _progressing(f"{updated} of {wanted} replicas are updated{because}")
    if replicas > updated:
        return _progressing(f"{replicas - updated} old replicas are still there{because}")
    if available < wanted:
        return _progressing(f"{available} of {wanted} replicas are available{because}")
    return _READY


def _daemon_set(raw: Mapping[str, Any]) -> Standing:
    if stale := _stale(raw):
        return stale
    status = _map(raw, "status")
    wanted, available = _int(status, "desiredNumberScheduled"), _int(status, "numberAvailable")
    on_delete = _map(_map(raw, "spec"), "updateStrategy").get("type") == "OnDelete"
    updated = wanted if on_delete else _int(status, "updatedNumberScheduled")
    if updated < wanted:
        return _progressing(f"{updated} of {wanted} pods are updated")
    if available < wanted:
        return _progressing(f"{available} of {wanted} pods are available")
    return _READY


def _job(raw: Mapping[str, Any]) -> Standing:
    if (failed := _condition(raw, "Failed")) and failed.get("status") == "True":
        return Standing(Readiness.FAILED, str(failed.get("message") or failed.get("reason") or "the job failed"))
    complete = _condition(raw, "Complete")
    if complete and complete.get("status") == "True":
        return _READY
    if _map(raw, "spec").get("suspend"):
        return _progressing("is suspended")
    return _progressing("has not completed")


def _pod(raw: Mapping[str, Any]) -> Standing:
    status = _map(raw, "status")
    if status.get("phase") == "Succeeded":
        return _READY
    if status.get("phase") == "Failed":
        return Standing(Readiness.FAILED, str(status.get("message") or status.get("reason") or "the pod failed"))
    ready = _condition(raw, "Ready")
    return _READY if ready and ready.get("status") == "True" else _progressing("the pod is not ready")


def _service(raw: Mapping[str, Any]) -> Standing:
    if _map(raw, "spec").get("type") != "LoadBalancer" or _balanced(raw):
        return _READY
    return _progressing("has no load balancer address yet")


def _ingress(raw: Mapping[str, Any]) -> Standing:
    spec = _map(raw, "spec")
    if spec.get("rules") or spec.get("defaultBackend") or _balanced(raw):
        return _READY
    return _progressing("has neither rules nor an address")


def _claim(raw: Mapping[str, Any]) -> Standing:
    """A claim is waited for only while a provisioner works on it.

    Under `volumeBindingMode: WaitForFirstConsumer` a claim stays Pending until a pod uses it, so a workload that
    waits for the claim waits for ever. The binding controller names the provisioner on the claim when it asks for a
    volume (Kubernetes, dynamic volume provisioning); without that mark nobody works on it, and the scheduler keeps
    the pods back by itself until the claim is bound.
    """
    phase = _map(raw, "status").get("phase")
    if phase == "Bound":
        return _READY
    if phase == "Lost":
        return Standing(Readiness.FAILED, "the bound volume is lost")
    if any(_map(_map(raw, "metadata"), "annotations").get(key) for key in _PROVISIONER):
        return _progressing("the volume is being provisioned")
    return Standing(Readiness.READY, "not bound until a pod uses it")


def _autoscaler(raw: Mapping[str, Any]) -> Standing:
    able = _condition(raw, "AbleToScale")
    if able and able.get("status") == "True":
        return _READY
    return _progressing(str((able or {}).get("message") or "cannot scale yet"))


def _namespace(raw: Mapping[str, Any]) -> Standing:
    return _READY if _map(raw, "status").get("phase") == "Active" else _progressing("is not active")


def _always(raw: Mapping[str, Any]) -> Standing:  # noqa: ARG001 - every rule has the same signature
    return _READY


def _by_conditions(raw: Mapping[str, Any]) -> Standing:
    """Any other kind: Stalled=True has failed, Reconciling=True is on its way (kstatus), else the first that speaks."""
    status = _map(raw, "status")
    if "observedGeneration" in status and (stale := _stale(raw)):
        return stale
    for kind, readiness in (("Stalled", Readiness.FAILED), ("Reconciling", Readiness.PROGRESSING)):
        against = _condition(raw, kind)
        if against and against.get("status") == "True":
            return Standing(readiness, str(against.get("message") or f"is {kind.lower()}"))
    for kind in _SPEAKING:
        if condition := _condition(raw, kind):
            seen = condition.get("observedGeneration")
            if isinstance(seen, int) and seen < _int(_map(raw, "metadata"), "generation"):
                return _progressing("the last change has not been observed yet")
            if condition.get("status") == "True":
                return _READY
            return _progressing(str(condition.get("message") or condition.get("reason") or f"{kind} is not True"))
    return _READY


_RULES: Final[Mapping[tuple[str, str], Callable[[Mapping[str, Any]], Standing]]] = {
    ("apps", "Deployment"): _deployment,
    ("apps", "StatefulSet"): _stateful_set,
    ("apps", "DaemonSet"): _daemon_set,
    ("batch", "Job"): _job,
    ("", "Pod"): _pod,
    ("", "Service"): _service,
    ("networking.k8s.io", "Ingress"): _ingress,
    ("", "PersistentVolumeClaim"): _claim,
    ("autoscaling", "HorizontalPodAutoscaler"): _autoscaler,
    ("", "Namespace"): _namespace,
    ("", "ConfigMap"): _always,
    ("", "Secret"): _always,
    ("", "ServiceAccount"): _always,
    ("batch", "CronJob"): _always,
    ("policy", "PodDisruptionBudget"): _always,
    ("networking.k8s.io", "NetworkPolicy"): _always,
}


def _stale(raw: Mapping[str, Any]) -> Standing | None:
    """The controller has not seen the present spec: its counters speak of an older one."""
    if _int(_map(raw, "status"), "observedGeneration") < _int(_map(raw, "metadata"), "generation"):
        return _progressing("the last change has not been observed yet")
    return None


def _trouble(raw: Mapping[str, Any]) -> str:
    """`: exceeded quota …` when the controller could not make pods."""
    condition = _condition(raw, "ReplicaFailure")
    if condition and condition.get("status") == "True" and condition.get("message"):
        return f": {condition['message']}"
    return ""


def _condition(raw: Mapping[str, Any], kind: str) -> Mapping[str, Any] | None:
    conditions = _map(raw, "status").get("conditions")
    if not isinstance(conditions, list):
        return None
    return next((c for c in conditions if isinstance(c, Mapping) and c.get("type") == kind), None)


def _balanced(raw: Mapping[str, Any]) -> bool:
    return bool(_map(_map(raw, "status"), "loadBalancer").get("ingress"))


def _wanted(raw: Mapping[str, Any]) -> int:
    replicas = _map(raw, "spec").get("replicas")
    return replicas if isinstance(replicas, int) else 1


def _progressing(message: str) -> Standing:
    return Standing(Readiness.PROGRESSING, message)


def _map(body: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = body.get(key)
    return value if isinstance(value, Mapping) else {}


def _int(body: Mapping[str, Any], key: str) -> int:
    value = body.get(key)
    return value if isinstance(value, int) else 0
