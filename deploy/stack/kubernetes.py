"""Kubernetes without machines: etcd, API server, controller manager, scheduler, and kwok as the kubelets.

Fed by: programs of `gobuild`, the ports. Feeds: `native`. Never: runs a container; kwok only reports what
kubelets would, so Deployments become ready without one.
"""

import base64
import functools
import json
import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import urllib3
import yaml

from deploy.stack import certificates
from deploy.stack.cluster import Cluster
from deploy.stack.components import Component
from deploy.stack.errors import StackError
from deploy.stack.paths import Paths, write_private

PORTS = {
    "etcd": 23790,
    "etcd-peer": 23800,
    "kube-apiserver": 26443,
    "kube-controller-manager": 26257,
    "kube-scheduler": 26259,
    "kwok": 26247,
}

_COLLECTOR = (("GOGC", "400"), ("GOMEMLIMIT", "4GiB"))
"""By Go's defaults nearly half of the API server's time under load is garbage collection, and two cores serve all."""
_STAGES = Path(__file__).with_name("kwok.yaml")
_NODES_TIMEOUT_S = 60.0
_NODES = ("node-1", "node-2")
_NODE_SIZE = {"cpu": "4000", "memory": "8000Gi", "pods": "100000", "ephemeral-storage": "8000Gi"}
_SCHEDULER_CONFIG = """\
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
clientConnection: {{kubeconfig: {kubeconfig}, qps: 500, burst: 1000}}
leaderElection: {{leaderElect: false}}
"""


def kubeconfig_path(paths: Paths) -> Path:
    """Return where the administrator's kubeconfig lies (mode 0600)."""
    return paths.run / "kubernetes" / "kubeconfig"


def components(paths: Paths, ports: Mapping[str, int]) -> list[Component]:
    """Return the cluster's processes in the order in which they need each other."""
    return [
        _etcd(paths, ports),
        _apiserver(paths, ports),
        _controller_manager(paths, ports),
        _scheduler(paths, ports),
        _kwok(paths, ports),
    ]


def ensure_nodes(kubeconfig: Path) -> None:
    """Make the nodes that kwok plays; they come to life within a second or two."""
    cluster = Cluster(kubeconfig)
    for name in _NODES:
        metadata = {"name": name, "labels": {"kubernetes.io/hostname": name, "type": "kwok"}}
        cluster.apply(f"/api/v1/nodes/{name}", {"apiVersion": "v1", "kind": "Node", "metadata": metadata})
        sizes = {"capacity": _NODE_SIZE, "allocatable": _NODE_SIZE}
        status = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "status": sizes}
        cluster.apply(f"/api/v1/nodes/{name}/status", status)


def bring_nodes_up(kubeconfig: Path) -> None:
    """Make the nodes unless they are there, and wait until all are Ready. Raises StackError after 60 s."""
    if nodes_ready(kubeconfig):
        return
    ensure_nodes(kubeconfig)
    deadline = time.monotonic() + _NODES_TIMEOUT_S
    while not nodes_ready(kubeconfig):
        if time.monotonic() > deadline:
            raise StackError(f"the nodes did not become Ready in {_NODES_TIMEOUT_S:.0f} s")
        time.sleep(0.1)


def nodes_ready(kubeconfig: Path) -> bool:
    """Tell whether every node of the stack reports Ready."""
    status, body = Cluster(kubeconfig).get("/api/v1/nodes")
    if status != 200:
        return False
    ready = {
        node["metadata"]["name"]
        for node in json.loads(body)["items"]
        for condition in node.get("status", {}).get("conditions") or ()
        if condition["type"] == "Ready" and condition["status"] == "True"
    }
    return ready.issuperset(_NODES)


def _etcd(paths: Paths, ports: Mapping[str, int]) -> Component:
    client = f"http://127.0.0.1:{ports['etcd']}"
    peer = f"http://127.0.0.1:{ports['etcd-peer']}"
    flags = {
        "name": "stack",
        "data-dir": str(paths.data / "etcd"),
        "listen-client-urls": client,
        "advertise-client-urls": client,
        "listen-peer-urls": peer,
        "initial-advertise-peer-urls": peer,
        "initial-cluster": f"stack={peer}",
        "unsafe-no-fsync": "true",
        "quota-backend-bytes": str(4 << 30),
        "auto-compaction-mode": "periodic",
        "auto-compaction-retention": "30m",
        "log-level": "warn",
    }
    return _component(paths, "etcd", flags, f"{client}/health")


def _apiserver(paths: Paths, ports: Mapping[str, int]) -> Component:
    directory = kubeconfig_path(paths).parent
    flags = {
        "etcd-servers": f"http://127.0.0.1:{ports['etcd']}",
        "bind-address": "127.0.0.1",
        "advertise-address": "127.0.0.1",
        "secure-port": str(ports["kube-apiserver"]),
        "tls-cert-file": str(directory / "apiserver.crt"),
        "tls-private-key-file": str(directory / "apiserver.key"),
        "service-account-issuer": "https://kubernetes.default.svc",
        "service-account-key-file": str(directory / "sa.pub"),
        "service-account-signing-key-file": str(directory / "sa.key"),
        "token-auth-file": str(directory / "tokens.csv"),
        "authorization-mode": "RBAC",
        "service-cluster-ip-range": "10.96.0.0/16",
        "disable-admission-plugins": "ServiceAccount",
        "endpoint-reconciler-type": "none",
        "max-requests-inflight": "1600",
        "max-mutating-requests-inflight": "800",
    }

    def prepare() -> None:
        certificates.ensure(directory)
        _write_credentials(directory, ports["kube-apiserver"])

    server = f"https://127.0.0.1:{ports['kube-apiserver']}"
    return _component(paths, "kube-apiserver", flags, f"{server}/readyz", prepare=prepare)


def _controller_manager(paths: Paths, ports: Mapping[str, int]) -> Component:
    kubeconfig = kubeconfig_path(paths)
    flags = {
        "kubeconfig": str(kubeconfig),
        "bind-address": "127.0.0.1",
        "secure-port": str(ports["kube-controller-manager"]),
        "service-account-private-key-file": str(kubeconfig.with_name("sa.key")),
        "root-ca-file": str(kubeconfig.with_name("ca.crt")),
        "use-service-account-credentials": "true",
        "leader-elect": "false",
        # The defaults (20 requests a second, 5 workers) would make the stack itself the bottleneck.
        "kube-api-qps": "500",
        "kube-api-burst": "1000",
        "concurrent-deployment-syncs": "20",
        "concurrent-replicaset-syncs": "20",
        "concurrent-endpoint-syncs": "20",
        "concurrent-service-endpoint-syncs": "20",
        "concurrent-gc-syncs": "40",
        "concurrent-namespace-syncs": "20",
    }
    return _client(paths, ports, "kube-controller-manager", flags)


def _scheduler(paths: Paths, ports: Mapping[str, int]) -> Component:
    kubeconfig = kubeconfig_path(paths)
    configuration = kubeconfig.with_name("scheduler.yaml")
    text = _SCHEDULER_CONFIG.format(kubeconfig=json.dumps(str(kubeconfig)))
    flags = {
        "config": str(configuration),
        "bind-address": "127.0.0.1",
        "secure-port": str(ports["kube-scheduler"]),
    }
    write = functools.partial(write_private, configuration, text)
    return _client(paths, ports, "kube-scheduler", flags, prepare=write, recipe=text)


def _client(
    paths: Paths,
    ports: Mapping[str, int],
    name: str,
    flags: Mapping[str, str],
    *,
    prepare: Callable[[], None] = lambda: None,
    recipe: str = "",
) -> Component:
    """Return a control plane process that works through the API server, and restarts if that one moves."""
    directory = kubeconfig_path(paths).parent
    serving = {
        "tls-cert-file": str(directory / "apiserver.crt"),
        "tls-private-key-file": str(directory / "apiserver.key"),
    }
    url = f"https://127.0.0.1:{ports[name]}/healthz"
    moved = f"{recipe}\n{ports['kube-apiserver']}"
    return _component(paths, name, {**flags, **serving}, url, prepare=prepare, recipe=moved)


def _kwok(paths: Paths, ports: Mapping[str, int]) -> Component:
    address = f"127.0.0.1:{ports['kwok']}"
    flags = {
        "kubeconfig": str(kubeconfig_path(paths)),
        "config": str(_STAGES),
        "manage-all-nodes": "true",
        # Without leases the nodes are taken for dead after about 55 s.
        "node-lease-duration-seconds": "40",
        "server-address": address,
        "v": "WARN",  # at INFO every pod patch is a line
    }
    recipe = f"{_STAGES.read_text(encoding='utf-8')}\n{ports['kube-apiserver']}"
    return _component(paths, "kwok", flags, f"http://{address}/healthz", recipe=recipe)


def _component(
    paths: Paths,
    name: str,
    flags: Mapping[str, str],
    url: str,
    *,
    prepare: Callable[[], None] = lambda: None,
    recipe: str = "",
) -> Component:
    program = paths.bin / name
    stamp = paths.stamps / name  # a program that was built anew is started anew
    built = stamp.read_text(encoding="utf-8") if stamp.exists() else ""
    authority = kubeconfig_path(paths).with_name("ca.crt")
    return Component(
        name=name,
        argv=(str(program), *(f"--{flag}={value}" for flag, value in flags.items())),
        port=urllib3.util.parse_url(url).port or 0,
        prepare=prepare,
        answers=lambda: _healthy(url, authority),
        recipe=f"{built}\n{recipe}",
        environ=_COLLECTOR,
    )


def _healthy(url: str, authority: Path) -> bool:
    """Tell whether a health endpoint answers 200; over TLS only to the certificate of our authority."""
    secure = url.startswith("https:")
    if secure and not authority.exists():
        return False
    trusted = str(authority) if secure else None
    timeout = urllib3.Timeout(connect=0.5, read=3.0)
    with urllib3.PoolManager(retries=False, timeout=timeout, ca_certs=trusted) as pool:
        try:
            return pool.request("GET", url).status == 200
        except urllib3.exceptions.HTTPError:
            return False


def _write_credentials(directory: Path, port: int) -> None:
    """Write the administrator's token (made once) and the kubeconfig that uses it."""
    tokens = directory / "tokens.csv"
    if not tokens.exists():
        write_private(tokens, f'{secrets.token_urlsafe(24)},admin,admin,"system:masters"\n')
    token = tokens.read_text(encoding="utf-8").split(",", 1)[0]
    authority = base64.b64encode((directory / "ca.crt").read_bytes()).decode()
    cluster = {"server": f"https://127.0.0.1:{port}", "certificate-authority-data": authority}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "stack", "cluster": cluster}],
        "users": [{"name": "admin", "user": {"token": token}}],
        "contexts": [{"name": "stack", "context": {"cluster": "stack", "user": "admin"}}],
        "current-context": "stack",
    }
    write_private(directory / "kubeconfig", yaml.safe_dump(document))
