"""The stack in containers, as docker-compose.yml describes it.

Fed by: a Docker engine with the compose plugin. Feeds: `__main__`. Never: touches containers of another
compose project.
"""

import os
from collections.abc import Mapping

from deploy.stack import databases, ports
from deploy.stack.endpoints import Endpoints, save
from deploy.stack.kubernetes import bring_nodes_up
from deploy.stack.parts import run
from deploy.stack.paths import REPOSITORY, Paths
from deploy.stack.progress import Reporter

PORTS = {"mysql": 23306, "mariadb": 23307, "kafka": 29092, "kube-apiserver": 26443, "prometheus": 29090}

_COMPOSE = ("docker", "compose", "--project-name", "rowplane", "--file", str(REPOSITORY / "docker-compose.yml"))
_WAIT_S = 600


def up(paths: Paths) -> Endpoints:
    """Start the containers, wait until all are healthy, and return where they answer."""
    paths.create()
    (paths.run / "k3s").mkdir(exist_ok=True)
    file = paths.run / "ports.json"
    published = _published(paths)
    chosen = ports.choose(PORTS, ports.load(file), PORTS if published else ())
    ports.save(file, chosen)
    reporter = Reporter(1)
    with reporter.session(), reporter.step("starting the containers and waiting until they are healthy"):
        run(
            [*_COMPOSE, "up", "--detach", "--wait", "--wait-timeout", str(_WAIT_S)],
            subject="docker compose up",
            mend="look at `docker compose --project-name rowplane logs`",
            environ=dict(os.environ) | variables(paths, chosen),
        )
    endpoints = Endpoints(
        kubeconfig=paths.run / "k3s" / "kubeconfig.yaml",
        mysql=databases.credentials(paths.run / "mysql.password", chosen["mysql"], user="root"),
        mariadb=databases.credentials(paths.run / "mariadb.password", chosen["mariadb"], user="root"),
        kafka_bootstrap_servers=f"127.0.0.1:{chosen['kafka']}",
        way="docker",
    )
    bring_nodes_up(endpoints.kubeconfig)
    save(paths, endpoints)
    return endpoints


def down(paths: Paths, *, purge: bool) -> None:
    """Stop and remove the containers; `purge` removes their volumes too."""
    chosen = ports.load(paths.run / "ports.json")
    run(
        [*_COMPOSE, "--profile", "product", "down", *(["--volumes"] if purge else [])],
        subject="docker compose down",
        mend="check that the engine answers (`docker info`)",
        environ=dict(os.environ) | variables(paths, PORTS | chosen),
    )


def variables(paths: Paths, chosen: Mapping[str, int]) -> dict[str, str]:
    """Return the variables that docker-compose.yml asks for."""
    accounts = {
        name: databases.credentials(paths.run / f"{name}.password", chosen[name], user="root")
        for name in ("mysql", "mariadb")
    }
    return {
        "ROWPLANE_RUN": str(paths.run),
        "ROWPLANE_MYSQL_PASSWORD": accounts["mysql"].password,
        "ROWPLANE_MARIADB_PASSWORD": accounts["mariadb"].password,
        "ROWPLANE_MYSQL_PORT": str(chosen["mysql"]),
        "ROWPLANE_MARIADB_PORT": str(chosen["mariadb"]),
        "ROWPLANE_KAFKA_PORT": str(chosen["kafka"]),
        "ROWPLANE_KUBERNETES_PORT": str(chosen["kube-apiserver"]),
        "ROWPLANE_PROMETHEUS_PORT": str(chosen["prometheus"]),
    }


def listing(paths: Paths) -> str:
    """Return the engine's own table of the containers."""
    return run(
        [*_COMPOSE, "--profile", "product", "ps"],
        subject="docker compose ps",
        mend="check that the engine answers (`docker info`)",
        environ=dict(os.environ) | variables(paths, PORTS),
    )


def _published(paths: Paths) -> bool:
    """Tell whether the containers run already, and so hold the ports themselves."""
    arguments = [*_COMPOSE, "ps", "--quiet"]
    environ = dict(os.environ) | variables(paths, PORTS)
    return bool(run(arguments, subject="docker compose ps", mend="check the engine", environ=environ).strip())
