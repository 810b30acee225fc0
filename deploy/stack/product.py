"""The product's own processes, run from this checkout against the stack: one capture, N reconcilers.

Fed by: the running stack's endpoints, the installed `rowplane` command. Feeds: developers, the demo, load
measurements. Never: runs in production; there the manifests do this.
"""

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import urllib3
import yaml

from deploy.stack import ports
from deploy.stack.cluster import Cluster
from deploy.stack.components import Component, bring_up, side_by_side
from deploy.stack.endpoints import Endpoints, load
from deploy.stack.errors import StackError
from deploy.stack.paths import REPOSITORY, Paths, write_private
from deploy.stack.processes import Processes
from deploy.stack.progress import Reporter

_PREFIX = "product-"
_FIRST_PORT = 24640
_READY_S = 60.0
_DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def up(paths: Paths, *, reconcilers: int, environ: Mapping[str, str] | None = None) -> list[str]:
    """Apply the custom resource definitions and run the processes; returns their metrics addresses.

    `environ` holds settings for all of them besides the stack's addresses. Processes that run with these
    settings and are ready stay as they are; reconcilers beyond the wanted number are stopped.
    """
    endpoints = load(paths)
    paths.create()
    apply_definitions(cluster_of(endpoints))
    processes = Processes(paths.run)
    wanted = {f"{_PREFIX}capture": "capture"}
    wanted |= {f"{_PREFIX}reconciler-{number}": "reconcile" for number in range(1, reconcilers + 1)}
    for name in _ours(processes):
        if name not in wanted:
            processes.stop(name)
    file = paths.run / "product-ports.json"
    defaults = {name: _FIRST_PORT + offset for offset, name in enumerate(wanted)}
    chosen = ports.choose(defaults, ports.load(file), [name for name in wanted if processes.owned(name)])
    ports.save(file, chosen)
    shared = _addresses(endpoints) | dict(environ or {})
    components = [_component(name, verb, chosen[name], shared) for name, verb in wanted.items()]
    reporter = Reporter(len(components))

    def work(component: Component) -> None:
        with reporter.step(f"starting {component.name} on port {component.port}"):
            bring_up(component, processes)

    with reporter.session():
        side_by_side(work, components)
    urls = [f"http://127.0.0.1:{component.port}/metrics" for component in components]
    write_private(paths.product, json.dumps({"metrics_urls": urls}))
    return urls


def down(paths: Paths) -> list[str]:
    """Stop the product's processes, reconcilers first; returns their names."""
    processes = Processes(paths.run)
    stopped = [name for name in reversed(_ours(processes)) if processes.stop(name)]
    paths.product.unlink(missing_ok=True)
    return stopped


def cluster_of(endpoints: Endpoints) -> Cluster:
    """Return a connection to the stack's API server; raises StackError if its kubeconfig is unfit."""
    return Cluster(endpoints.kubeconfig)


def apply_definitions(cluster: Cluster, directory: Path = REPOSITORY / "deploy" / "crds") -> None:
    """Server-side apply the CustomResourceDefinitions and wait up to 10 s until the server serves them."""
    manifests: list[dict[str, Any]] = [
        document
        for file in sorted(directory.glob("*.yaml"))
        for document in yaml.safe_load_all(file.read_text(encoding="utf-8"))
        if document
    ]
    if not manifests:
        raise StackError(f"{directory} holds no custom resource definitions; run `make crds`")
    paths = [f"{_DEFINITIONS}/{manifest['metadata']['name']}" for manifest in manifests]
    for path, manifest in zip(paths, manifests, strict=True):
        cluster.apply(path, manifest)
    deadline = time.monotonic() + 10.0
    while not all(_established(cluster, path) for path in paths):
        if time.monotonic() > deadline:
            raise StackError("the API server does not serve the custom resources after 10 s; look at its log")
        time.sleep(0.1)


def _established(cluster: Cluster, path: str) -> bool:
    status, body = cluster.get(path)
    conditions = json.loads(body).get("status", {}).get("conditions") if status == 200 else None
    return any(c["type"] == "Established" and c["status"] == "True" for c in conditions or ())


def _ours(processes: Processes) -> list[str]:
    return [name for name in processes.names() if name.startswith(_PREFIX)]


def _addresses(endpoints: Endpoints) -> dict[str, str]:
    return {
        "KUBECONFIG": str(endpoints.kubeconfig),
        "ROWPLANE_KAFKA_BOOTSTRAP_SERVERS": endpoints.kafka_bootstrap_servers,
        "ROWPLANE_METRICS_HOST": "127.0.0.1",
    }


def _component(name: str, verb: str, port: int, environ: Mapping[str, str]) -> Component:
    command = Path(sys.executable).with_name("rowplane")
    if not command.exists():
        raise StackError(f"{command} is missing; run `make venv`")
    return Component(
        name=name,
        argv=(str(command), verb),
        port=port,
        prepare=lambda: None,
        answers=lambda: _ready(port),
        timeout_s=_READY_S,
        mend=f"http://127.0.0.1:{port}/readyz tells what it waits for",
        environ=(*sorted(environ.items()), ("ROWPLANE_METRICS_PORT", str(port))),
    )


def _ready(port: int) -> bool:
    timeout = urllib3.Timeout(connect=0.5, read=2.0)
    with urllib3.PoolManager(retries=False, timeout=timeout) as pool:
        try:
            return pool.request("GET", f"http://127.0.0.1:{port}/readyz").status == 200
        except urllib3.exceptions.HTTPError:
            return False
