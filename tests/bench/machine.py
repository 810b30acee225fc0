"""What figures depend on: the machine, the versions of everything that took part, the commit.

Fed by: /proc, the servers of the stack, git. Feeds: results.json. Never: fails because something cannot be told.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sysconfig
import timeit
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import pymysql
from pydantic import BaseModel, Field

from deploy.stack import kafka
from deploy.stack.endpoints import Database, Endpoints
from shared.errors import RowplaneError
from shared.kube import KubeClient

__all__ = ["Machine", "commit", "load", "machine_of"]

_ROOT: Final = Path(__file__).parents[2]
_LIBRARIES: Final = (
    "confluent-kafka",
    "crc32c",
    "jinja2",
    "kafka-python",
    "kubernetes",
    "mysql-replication",
    "orjson",
    "pydantic",
    "pymysql",
    "urllib3",
)
_UNKNOWN: Final = "unknown"


class Machine(BaseModel):
    """`machine`: facts of the run that came last."""

    cpu: str = Field(description="The processor's model.")
    cores: int = Field(description="Cores that this process may use.")
    memory_mib: int = Field(description="Memory of the machine.")
    kernel: str = Field(description="System and kernel.")
    python: str = Field(description="Version of Python.")
    python_loop_ms: float = Field(
        description="The quickest of five times a million rounds of a plain loop: how Python was built makes a third of"
        " it, and distributions do not all say how."
    )
    python_flags: str = Field(description="How Python was configured, as far as it bears on speed.")
    stack: str = Field(description="How the servers run: native, docker or external.")
    versions: dict[str, str] = Field(description="Versions of servers and libraries.")


def machine_of(endpoints: Endpoints, client: KubeClient) -> Machine:
    """The facts as they are now."""
    flags = str(sysconfig.get_config_var("CONFIG_ARGS") or "")
    told = [f for f in re.findall(r"--(?:enable|with|without|disable)-[\w=-]+", flags) if _bears_on_speed(f)]
    return Machine(
        cpu=_line("/proc/cpuinfo", "model name") or platform.processor() or _UNKNOWN,
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 0,
        memory_mib=int((_line("/proc/meminfo", "MemTotal") or "0").split()[0]) // 1024,
        kernel=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=f"{platform.python_implementation()} {platform.python_version()}, {platform.python_compiler()}",
        python_loop_ms=round(1000 * min(timeit.repeat("for i in range(1_000_000): i * i", number=1, repeat=5)), 1),
        python_flags=" ".join(told) or "none",
        stack=endpoints.way,
        versions={
            "MySQL": _database(endpoints.mysql),
            **({"MariaDB": _database(endpoints.mariadb)} if endpoints.mariadb else {}),
            "Kafka": kafka.VERSION if endpoints.way == "native" else _UNKNOWN,
            "Kubernetes": _kubernetes(client),
            **{name: _library(name) for name in _LIBRARIES},
        },
    )


def commit() -> str:
    """The checkout's commit, with a `+` when something has changed since."""
    head = _git("rev-parse", "--short=12", "HEAD")
    return head + "+" * bool(_git("status", "--porcelain", "--untracked-files=no")) if head else _UNKNOWN


def load() -> tuple[float, float]:
    """The machine's load over 1 and 5 minutes."""
    one, five, _ = os.getloadavg()
    return round(one, 2), round(five, 2)


def _bears_on_speed(flag: str) -> bool:
    return any(word in flag for word in ("optimiz", "lto", "bolt", "debug", "jit", "gil", "computed", "malloc"))


def _line(path: str, name: str) -> str:
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=_ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


def _library(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _database(server: Database) -> str:
    try:
        connection = pymysql.connect(host=server.host, port=server.port, user=server.user, password=server.password)
    except pymysql.Error:
        return _UNKNOWN
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT VERSION()")
            return str((cursor.fetchone() or (_UNKNOWN,))[0])
    finally:
        connection.close()


def _kubernetes(client: KubeClient) -> str:
    try:
        return str(client.get_path("/version").get("gitVersion", _UNKNOWN))
    except RowplaneError:
        return _UNKNOWN
