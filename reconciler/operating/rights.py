"""`rowplane rbac`: the RBAC objects for exactly the kinds that forms make.

Fed by: commands.py. Feeds: standard output, for `kubectl apply -f -`. Never: writes to the cluster.
Exit codes: 0 printed, 1 a file holds what is no form, 2 usage, 3 cannot reach.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from reconciler.authoring.bundle import read_bundle
from reconciler.authoring.files import read_files
from reconciler.authoring.output import print_yaml_stream, tell
from reconciler.operating.fleet import Fleet
from shared.errors import InvalidError, ObjectNotFound, UsageError
from shared.kube import KubeClient
from shared.model.api import parse_object
from shared.model.form import Form
from shared.model.rights import CAPTURE, RECONCILER, Right, rights

__all__ = ["manifests", "rbac"]

_API = "rbac.authorization.k8s.io/v1"


def rbac(files: Sequence[str], process: str, namespace: str) -> None:
    """Of the forms in `files`, or without any of the cluster's. Raises UsageError, InvalidError, ClusterError."""
    if process not in (CAPTURE, RECONCILER):
        raise UsageError(f"--for is {process!r}", mend=f"Give {CAPTURE} or {RECONCILER}")
    if files:
        bundle = read_bundle(read_files(files), "default")
        if bundle.problems:
            found = bundle.problems[0]
            raise InvalidError(f"{found.place}: {found.finding.text}", mend=found.finding.mend)
        forms, client = [authored.object for authored in bundle.forms], None
    else:
        fleet = Fleet.connect()
        forms, client = [parse_object(Form, dict(raw)) for raw in fleet.forms()], fleet.client
    managed = {_plural(client, *kind) for kind in sorted(_kinds(forms))} if process == RECONCILER else set()
    print_yaml_stream(manifests(process, namespace, [r for r in rights(managed) if r.process == process]))


def _kinds(forms: Iterable[Form]) -> set[tuple[str, str]]:
    """(apiVersion, kind) of everything that the forms make; what a template names is told and left out."""
    found: set[tuple[str, str]] = set()
    for form in forms:
        for typed, resource in form.spec.resources():
            api_version = str(resource.spec.get("apiVersion") or typed.api_version)
            kind = str(resource.spec.get("kind") or typed.kind)
            if "{" in api_version + kind:
                tell("warning", f"form {form.metadata.name}: resource {resource.id} takes its kind from a template")
            else:
                found.add((api_version, kind))
    return found


def _plural(client: KubeClient | None, api_version: str, kind: str) -> tuple[str, str]:
    """(group, plural); by the usual rule where no cluster is asked or it does not serve the kind."""
    group = api_version.rpartition("/")[0]
    if client is not None:
        try:
            return group, client.resource_type(api_version, kind).plural
        except ObjectNotFound:
            tell("warning", f"{api_version} {kind} is not served by the cluster: its plural is a guess")
    word = kind.lower()
    if word.endswith(("s", "x", "ch", "sh")):
        return group, f"{word}es"
    return group, f"{word[:-1]}ies" if word.endswith("y") else f"{word}s"


def manifests(process: str, namespace: str, granted: Sequence[Right]) -> list[dict[str, Any]]:
    """ServiceAccount, ClusterRole and its binding; resources of a group with equal verbs share a rule."""
    name = f"rowplane-{process}"
    by_resource: dict[tuple[str, str], list[str]] = {}
    for right in granted:
        by_resource.setdefault((right.group, right.resource), []).append(right.verb)
    ordered = sorted(by_resource.items(), key=lambda item: (item[0][0], item[1], item[0][1]))
    rules = [
        {"apiGroups": [group], "resources": [resource for (_, resource), _ in items], "verbs": list(verbs)}
        for (group, verbs), items in groupby(ordered, key=lambda item: (item[0][0], tuple(item[1])))
    ]
    account = {"kind": "ServiceAccount", "name": name, "namespace": namespace}
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}},
        {"apiVersion": _API, "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules},
        {
            "apiVersion": _API,
            "kind": "ClusterRoleBinding",
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
            "subjects": [account],
        },
    ]
