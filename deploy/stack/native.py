"""The stack as plain processes of this machine, built from package registries.

Fed by: the servers' modules. Feeds: `__main__`, tests that need a server back after they killed it. Never:
stops or starts a process that is not recorded as ours.
"""

import fcntl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from deploy.stack import gobuild, kafka, kubernetes, mariadb, mysql, ports
from deploy.stack.components import Component, bring_up, is_outdated, is_up, side_by_side
from deploy.stack.endpoints import Endpoints, save
from deploy.stack.errors import StackError
from deploy.stack.parts import Part, is_current, make, remove
from deploy.stack.paths import Paths
from deploy.stack.processes import Processes
from deploy.stack.progress import Reporter

_PORTS = kubernetes.PORTS | kafka.PORTS | mysql.PORTS | mariadb.PORTS
_OWNERS = {"etcd-peer": "etcd", "kafka-controller": "kafka"}  # ports that are not a process of their own


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that has to run, and where it will answer."""

    lanes: tuple[tuple[Component, ...], ...]
    """Servers that need each other, in order; lanes do not depend on each other."""
    endpoints: Endpoints

    def components(self) -> list[Component]:
        """Return all servers, in an order in which they may be started."""
        return [component for lane in self.lanes for component in lane]


def up(paths: Paths, *, say: Callable[[str], None] = print) -> Endpoints:
    """Build what is missing, start what is not running, and return where it answers.

    Safe to call at any time and from several processes. Raises StackError with the part that failed.
    """
    paths.create()
    with _alone(paths, say):
        _build(paths)
        plan = make_plan(paths)
        _start(paths, plan)
        save(paths, plan.endpoints)
        return plan.endpoints


def down(paths: Paths, *, purge: bool = False, say: Callable[[str], None] = print) -> list[str]:
    """Stop our servers, last started first; returns their names. `purge` also removes their data."""
    paths.create()
    with _alone(paths, say):
        processes = Processes(paths.run)
        known = processes.names()
        order = [*(name for name in known if name not in _PORTS), *reversed([n for n in _PORTS if n in known])]
        stopped = [name for name in order if processes.stop(name)]
        paths.endpoints.unlink(missing_ok=True)
        if purge:
            remove(paths.run)
        return stopped


def make_plan(paths: Paths) -> Plan:
    """Choose the ports and define every server."""
    processes = Processes(paths.run)
    file = paths.run / "ports.json"
    ours = {name for name in _PORTS if processes.owned(_OWNERS.get(name, name))}
    chosen = ports.choose(_PORTS, ports.load(file), ours)
    ports.save(file, chosen)
    mysql_server, mysql_account = mysql.component(paths, chosen)
    mariadb_server, mariadb_account = mariadb.component(paths, chosen)
    lanes = (
        tuple(kubernetes.components(paths, chosen)),
        (kafka.component(paths, chosen),),
        (mysql_server,),
        (mariadb_server,),
    )
    endpoints = Endpoints(
        kubeconfig=kubernetes.kubeconfig_path(paths),
        mysql=mysql_account,
        mariadb=mariadb_account,
        kafka_bootstrap_servers=f"127.0.0.1:{chosen['kafka']}",
    )
    return Plan(lanes, endpoints)


def _build(paths: Paths) -> None:
    """Make the missing parts: programs are compiled one after the other while packages are fetched."""
    lanes = (gobuild.parts(paths), [*kafka.parts(paths), *mysql.parts(paths), *mariadb.parts(paths)])
    missing = [[part for part in lane if not is_current(part, paths.stamps)] for lane in lanes]
    total = sum(len(lane) for lane in missing)
    if total == 0:
        return
    reporter = Reporter(total)
    failed = threading.Event()

    def work(lane: Sequence[Part]) -> None:
        for part in lane:
            if failed.is_set():
                return
            try:
                with reporter.step(part.title):
                    make(part, paths.stamps)
            except BaseException:
                failed.set()
                raise

    with reporter.session():
        side_by_side(work, missing)


def _start(paths: Paths, plan: Plan) -> None:
    processes = Processes(paths.run)
    for component in reversed(plan.components()):  # a server must not outlive the ones that it needs
        if is_outdated(component, processes):
            processes.stop(component.name)
    missing = [component for component in plan.components() if not is_up(component, processes)]
    reporter = Reporter(len(missing) + 1)

    def work(lane: Sequence[Component]) -> None:
        for component in lane:
            if component not in missing:
                continue
            with reporter.step(f"starting {component.name} on port {component.port}"):
                bring_up(component, processes)

    with reporter.session():
        side_by_side(work, plan.lanes)
        with reporter.step("waiting for the cluster's nodes"):
            _await_nodes(paths)


def _await_nodes(paths: Paths) -> None:
    try:
        kubernetes.bring_nodes_up(kubernetes.kubeconfig_path(paths))
    except StackError as error:
        raise StackError(f"{error}; kwok says:\n{Processes(paths.run).log_tail('kwok')}") from error


@contextmanager
def _alone(paths: Paths, say: Callable[[str], None]) -> Iterator[None]:
    """Hold the cache's lock, so that two starts at once do not build or start the same thing twice."""
    with (paths.cache / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another `make stack` is at work on this cache; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
