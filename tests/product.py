"""The product's own processes for a test session: one capture, two reconcilers, with topics and a group of their own.

Also a pytest plugin that the end-to-end and fault tests register: the session's `product`, and their order (they are
stories, told as they are written, after all other tests).
Fed by: the stack's endpoints. Feeds: tests/e2e, tests/fault. Never: touches a process that it did not start.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import pymysql
import pytest
import urllib3
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from deploy.stack.cluster import Cluster
from deploy.stack.endpoints import Database, Endpoints
from deploy.stack.paths import REPOSITORY, default_paths
from deploy.stack.processes import Processes
from deploy.stack.product import apply_definitions
from shared.kafka import connect_admin
from shared.kube import NAMESPACES, KubeClient
from shared.settings import KafkaSettings, KubeSettings
from tests.cleaning import remove_namespace
from tests.held_ports import HeldPorts

CAPTURE: Final = "capture"
MEMBERS: Final = ("reconciler-1", "reconciler-2", "reconciler-3", "reconciler-4")
RECONCILERS: Final = MEMBERS[:2]
SPARE: Final = MEMBERS[2]
"""A further member, for tests that start and stop it themselves."""
MARK: Final = "rowplane.test"
"""Label of the namespaces that these tests make."""
TOPICS: Final = "rowplane-e2e-"
DATABASES: Final = "e2e_"
_NAMESPACES: Final = "e2e-"
_FIRST_PORT: Final = 24740
_T = TypeVar("_T")


def eventually(look: Callable[[], _T], what: str, timeout_s: float = 60.0, shown: Callable[[], Any] = lambda: "") -> _T:
    """Ask until `look` answers something true; fails with `what` and what is `shown` after `timeout_s`."""
    deadline_s = time.monotonic() + timeout_s
    while not (found := look()):
        if time.monotonic() > deadline_s:
            pytest.fail(f"{what}: not within {timeout_s:.0f} s; now {shown()!r:.2000}", pytrace=False)
        time.sleep(0.05)
    return found


class Product:
    """Processes by name, which serve one namespace; `capture` supervises one process for each database server."""

    def __init__(self, endpoints: Endpoints, run: Path) -> None:
        self.name = secrets.token_hex(3)
        self.namespace = f"{_NAMESPACES}{self.name}"
        self.endpoints = endpoints
        self.kafka = KafkaSettings(
            tuple(endpoints.kafka_bootstrap_servers.split(",")), f"{TOPICS}{self.name}", group=f"{TOPICS}{self.name}"
        )
        self.kubeconfigs: dict[str, Path] = {}
        """Process → the kubeconfig of an account of its own; the others are the cluster's administrator."""
        self._processes = Processes(run)
        names = (CAPTURE, *MEMBERS)
        first = _FIRST_PORT + len(names) * (int(self.name, 16) % 800)
        self._held = HeldPorts()  # whoever ends a process wants its port again
        self._ports = {name: self._held.take(first + i) for i, name in enumerate(names)}
        for name in names:
            self._processes.stop(name)  # of a test session that was killed
            self._processes.log_path(name).unlink(missing_ok=True)

    # -- processes -----------------------------------------------------------------------------------------------

    def start(self, *names: str) -> None:
        """Start these processes and wait until all are ready."""
        self.launch(*names)
        self.await_ready(*names)

    def launch(self, *names: str) -> None:
        """Start these processes."""
        environ = os.environ | {
            "ROWPLANE_KAFKA_BOOTSTRAP_SERVERS": self.endpoints.kafka_bootstrap_servers,
            "ROWPLANE_TOPIC_PREFIX": self.kafka.topic_prefix,
            "ROWPLANE_GROUP": self.kafka.group,
            "ROWPLANE_METRICS_HOST": "127.0.0.1",
            "ROWPLANE_NAMESPACE": self.namespace,
            "ROWPLANE_LOG_FORMAT": "json",
        }
        command = str(Path(sys.executable).with_name("rowplane"))
        for name in names:
            verb = "capture" if name == CAPTURE else "reconcile"
            environ["KUBECONFIG"] = str(self.kubeconfigs.get(name, self.endpoints.kubeconfig))
            environ["ROWPLANE_METRICS_PORT"] = str(self._ports[name])
            self._processes.start(name, (command, verb), environ=environ)

    def await_ready(self, *names: str) -> None:
        """Wait until /readyz of each says yes."""

        def missing() -> dict[str, str]:
            answers = {name: self._get(name, "/readyz") for name in names if self.pid(name)}
            return {name: text for name, (status, text) in answers.items() if status != 200}

        eventually(lambda: not missing(), f"{', '.join(names)} ready", 60.0, missing)

    def pid(self, name: str) -> int:
        """The process id; fails when it does not run."""
        pid = self._processes.owned(name)
        if pid is None:
            pytest.fail(f"{name} does not run: {self._processes.log_tail(name)}", pytrace=False)
        return pid

    def runs(self, name: str) -> bool:
        """Whether the process is alive."""
        return self._processes.owned(name) is not None

    def send(self, name: str, number: signal.Signals) -> None:
        """Send a signal to the process."""
        os.kill(self.pid(name), number)

    def end(self, name: str, number: signal.Signals = signal.SIGTERM, timeout_s: float = 30.0) -> tuple[int, float]:
        """Signal it and wait for its end: (exit code, below 0 for a signal; seconds that it took)."""
        pid, began_s = self.pid(name), time.monotonic()
        os.kill(pid, number)
        found = eventually(lambda: _ended(pid), f"{name} ends", timeout_s)
        assert found is not None
        _, status = found
        return os.waitstatus_to_exitcode(status), time.monotonic() - began_s

    def stop(self) -> None:
        """Stop all that still runs, reconcilers first."""
        for name in (*MEMBERS, CAPTURE):
            self._processes.stop(name)

    def close(self) -> None:
        """Stop all, and let others have the ports."""
        self.stop()
        self._held.close()

    def capture_of(self, server: Database) -> int:
        """Process id of the capture of a server, as the supervisor has logged it."""
        name = f"{server.host}:{server.port}"
        started = [
            e["pid"] for e in self.log(CAPTURE) if e["event"] == "capture process started" and e["server"] == name
        ]
        assert started, f"no capture process of {name} was started"
        return int(started[-1])

    # -- what they say -------------------------------------------------------------------------------------------

    def log(self, name: str) -> list[dict[str, Any]]:
        """Log lines; a line that is no JSON object has it all as `event` and the level `raw`."""
        path = self._processes.log_path(name)
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        return [_entry(line) for line in lines]

    def has_caught_up(self, name: str, database: str) -> bool:
        """Whether a reconciler serves partitions of the table of a database that is new to it, as it has logged."""
        return any(
            e["event"] == "partitions caught up" and any(f".{database}." in p for p in e["partitions"])
            for e in self.log(name)
        )

    def log_text(self) -> str:
        """Everything that all processes have logged."""
        paths = [self._processes.log_path(name) for name in (CAPTURE, *MEMBERS)]
        return "".join(path.read_text(encoding="utf-8") for path in paths if path.exists())

    def samples(self, name: str) -> list[Sample]:
        """Every sample of /metrics; none while it does not answer."""
        status, text = self._get(name, "/metrics")
        if status != 200:
            return []
        return [s for family in text_string_to_metric_families(text) for s in family.samples]

    def series(self, metric: str, **labels: str) -> list[float]:
        """Values of a metric's series with these labels, of all reconcilers that run."""
        return [
            s.value
            for name in RECONCILERS
            if self.runs(name)
            for s in self.samples(name)
            if s.name == metric and labels.items() <= s.labels.items()
        ]

    def _get(self, name: str, path: str) -> tuple[int, str]:
        timeout = urllib3.Timeout(connect=0.5, read=5.0)
        with urllib3.PoolManager(retries=False, timeout=timeout) as pool:
            try:
                answer = pool.request("GET", f"http://127.0.0.1:{self._ports[name]}{path}")
            except urllib3.exceptions.HTTPError as error:
                return 0, type(error).__name__
            return answer.status, answer.data.decode()


def _ended(pid: int) -> tuple[int, int] | None:
    found, status = os.waitpid(pid, os.WNOHANG)
    return (found, status) if found else None


def _entry(line: str) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except ValueError:
        entry = None
    return entry if isinstance(entry, dict) else {"event": line, "level": "raw"}


# -- before and after ------------------------------------------------------------------------------------------------


@contextmanager
def administrator(server: Database) -> Iterator[pymysql.cursors.Cursor]:
    """A cursor that may do everything; commits after each statement."""
    connection = pymysql.connect(
        host=server.host, port=server.port, user=server.user, password=server.password, autocommit=True
    )
    try:
        with connection.cursor() as cursor:
            yield cursor
    finally:
        connection.close()


def sweep(endpoints: Endpoints, client: KubeClient, kafka: KafkaSettings, is_over: Callable[[str], bool]) -> None:
    """Remove what test sessions that are over have left behind: objects, databases, accounts, topics."""
    namespaces = [n["metadata"]["name"] for n in client.list(NAMESPACES, label_selector=MARK)[0]]
    for namespace in [n for n in namespaces if is_over(_first(n, _NAMESPACES))]:
        remove_namespace(client, namespace)
    for server in (endpoints.mysql, endpoints.mariadb):
        if server is not None:
            _sweep_server(server, is_over)
    admin = connect_admin(kafka)
    try:
        topics = [t for t in admin.list_topics() if t.startswith(TOPICS) and is_over(_first(t, TOPICS))]
        if topics:
            admin.delete_topics(topics)
    finally:
        admin.close()


def _first(name: str, prefix: str) -> str:
    """The session's name in the name of a topic, database or account."""
    return re.split(r"[._-]", name.removeprefix(prefix))[0]


def _sweep_server(server: Database, is_over: Callable[[str], bool]) -> None:
    with administrator(server) as cursor:
        cursor.execute("SHOW DATABASES")
        for (name,) in cursor.fetchall():
            if str(name).startswith(DATABASES) and is_over(_first(str(name), DATABASES)):
                cursor.execute(f"DROP DATABASE `{name}`")
        cursor.execute("SELECT user FROM mysql.user")
        for (name,) in cursor.fetchall():
            if str(name).startswith(DATABASES) and is_over(_first(str(name), DATABASES)):
                cursor.execute(f"DROP USER '{name}'@'%'")


@contextmanager
def _session(name: str) -> Iterator[Callable[[str], bool]]:
    """Hold the lock of this session; yields whether a session of some name is over, this one's own counting as such.

    A product that serves all namespaces would serve the tests' too.
    """
    paths = default_paths()
    others = Processes(paths.run)
    if any(others.owned(process) for process in others.names() if process.startswith("product-")):
        pytest.exit("another product runs on this stack: run `make down` first", returncode=1)

    def lock_of(session: str) -> Path:
        return paths.run / f"test-product-{session}.lock"

    def is_over(session: str) -> bool:
        if session == name or not lock_of(session).exists():
            return True
        with lock_of(session).open("r") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
        lock_of(session).unlink(missing_ok=True)
        return True

    with lock_of(name).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield is_over
    lock_of(name).unlink(missing_ok=True)


@pytest.fixture(scope="session")
def client(endpoints: Endpoints) -> Iterator[KubeClient]:
    """The API server, as its administrator."""
    client = KubeClient.connect(KubeSettings(str(endpoints.kubeconfig)))
    yield client
    client.close()


@pytest.fixture(scope="session")
def product(endpoints: Endpoints, client: KubeClient) -> Iterator[Product]:
    """The running product of this session."""
    with running(endpoints, client, "test-logs") as product:
        yield product


@contextmanager
def running(
    endpoints: Endpoints, client: KubeClient, logs: str, members: Sequence[str] = RECONCILERS
) -> Iterator[Product]:
    """A product of its own, which reaches the cluster by the endpoints' kubeconfig; its logs are in build/`logs`."""
    product = Product(endpoints, REPOSITORY / "build" / logs)
    with _session(product.name) as is_over:
        apply_definitions(Cluster(endpoints.kubeconfig))
        sweep(endpoints, client, product.kafka, is_over)
        try:
            product.start(CAPTURE, *members)
            yield product
        finally:
            product.close()
            sweep(endpoints, client, product.kafka, is_over)


# -- order -----------------------------------------------------------------------------------------------------------

_LAST: Final = (Path(__file__).parent / "e2e", Path(__file__).parent / "fault")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """End-to-end tests, then fault tests, come last and in the order in which they are written."""
    stories = [item for item in items if item.path.is_relative_to(_LAST[0]) or item.path.is_relative_to(_LAST[1])]
    stories.sort(key=_place)
    ours = set(stories)
    items[:] = [item for item in items if item not in ours] + stories


def _place(item: pytest.Item) -> tuple[str, int, str, int]:
    assert isinstance(item, pytest.Function)
    return str(item.path), _line(item.cls), _flavour(item), item.function.__code__.co_firstlineno


def _line(cls: type | None) -> int:
    """Where a class begins: its first test."""
    if cls is None:
        return 0
    lines: list[int] = [f.__code__.co_firstlineno for name, f in vars(cls).items() if name.startswith("test_")]
    return min(lines)


def _flavour(item: pytest.Function) -> str:
    """`mysql` before `mariadb`."""
    callspec = getattr(item, "callspec", None)
    flavour = callspec.params.get("flavour", "") if callspec else ""
    return {"mysql": "1", "mariadb": "2"}.get(flavour, "0")
