"""Lynq's own manager, where its binary is given: ROWPLANE_BENCH_LYNQ, and ROWPLANE_BENCH_LYNQ_KUBECONFIG.

Its manager serves every hub of a cluster, so it needs a cluster of its own, in which its definitions are installed and
its webhooks are not. The form is of one Service as a whole object, which both understand.
Fed by: the environment, the stack's MySQL. Feeds: polling.py. Never: runs it on the stack's cluster.
"""

from __future__ import annotations

import os
import random
import secrets
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from deploy.demo.world import World
from deploy.stack.endpoints import Endpoints
from shared.kube import KubeClient
from shared.settings import KubeSettings
from tests.bench.cluster_floors import Seen
from tests.bench.frame import Part, Settings
from tests.bench.observers import Numbers

_BINARY: Final = "ROWPLANE_BENCH_LYNQ"
_KUBECONFIG: Final = "ROWPLANE_BENCH_LYNQ_KUBECONFIG"
_UID: Final = "n00000"
_FIRST_S: Final = 120.0
_FORM: Final[dict[str, Any]] = {
    "services": [
        {
            "id": "front",
            "nameTemplate": "{{ .uid }}-front",
            "labelsTemplate": {"version": "{{ .blueVersion }}"},
            "spec": {
                "apiVersion": "v1",
                "kind": "Service",
                "spec": {"selector": {"color": "{{ .activeColor }}"}, "ports": [{"port": 80, "targetPort": 8080}]},
            },
        }
    ]
}


def measure_lynq(settings: Settings, part: Part) -> None:
    """Switches at random phases of its 1 s interval."""
    binary, kubeconfig = os.environ.get(_BINARY, ""), os.environ.get(_KUBECONFIG, "")
    if not binary or not kubeconfig:
        part.skip("lynq", f"{_BINARY} and {_KUBECONFIG} do not name its manager and a cluster of its own")
        return
    samples = part.size("lynq_samples", full=60, quick=20)
    client = KubeClient.connect(KubeSettings(kubeconfig))
    try:
        with _world(settings.endpoints, client) as world, _manager(binary, kubeconfig):
            found = part.measured("lynq.1s.service", _switches(world, samples))
    finally:
        client.close()
    ours = next(d for d in part.result.distributions if d.key == "rowplane.service")
    part.figure("lynq.1s.ratio", found.p50 / ours.p50, samples=found.samples)


@contextmanager
def _world(endpoints: Endpoints, client: KubeClient) -> Iterator[World]:
    """Database, namespace, hub and form with one row."""
    name = f"bench-lynq-{secrets.token_hex(3)}"
    world = World(client, endpoints, endpoints.mysql, name)
    world.place(name.replace("-", "_"))
    world.hub["spec"]["source"]["syncInterval"] = "1s"
    world.form["spec"] = {"hubId": world.form["spec"]["hubId"], **_FORM}
    world.create_table()
    world.create_objects()
    with world.administrator(world.database) as connection, connection.cursor() as cursor:
        cursor.execute("INSERT INTO nodes (node_id, domain) VALUES (%s, 'd.example.com')", (_UID,))
    try:
        yield world
    finally:
        world.remove()


@contextmanager
def _manager(binary: str, kubeconfig: str) -> Iterator[None]:
    command = [binary, "--metrics-bind-address=0", "--health-probe-bind-address=0"]
    environ = {**os.environ, "KUBECONFIG": kubeconfig, "ENABLE_WEBHOOKS": "false"}
    process = subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


def _switches(world: World, samples: int) -> list[float]:
    numbers, found = Numbers(), list[float]()
    seen = Seen(world.client, world.namespace)
    with world.administrator(world.database) as connection, connection.cursor() as cursor:
        for at in range(samples + 1):
            number, color = numbers.take(), ("blue", "green")[at % 2]
            statement = "UPDATE nodes SET active_color = %s, blue_version = %s WHERE node_id = %s"
            cursor.execute(statement, (color, str(number), _UID))
            committed_s = time.monotonic()
            found.append(1000 * (seen.wait(f"{_UID}-front", number, _FIRST_S) - committed_s))
            time.sleep(random.uniform(0.2, 1.2))
    seen.stop()
    return found[1:]
