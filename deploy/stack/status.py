"""What runs, and whether this machine could run it: the tables of `status` and `doctor`.

Fed by: pid files, /proc, the tools on PATH. Feeds: `__main__`. Never: changes anything.
"""

import os
import shutil
import sys
import time
from dataclasses import dataclass

from deploy.stack import mysql, ports, toolchains, ways
from deploy.stack.errors import StackError
from deploy.stack.paths import Paths
from deploy.stack.processes import Processes, resident_bytes

_DISK_GIB = 8
_MEMORY_GIB = 4


@dataclass(frozen=True, slots=True)
class Row:
    """One process of ours."""

    name: str
    pid: int | None
    """None if the process is gone though nobody stopped it."""
    port: int | None
    uptime_s: float
    memory_bytes: int

    def cells(self) -> tuple[str, str, str, str, str, str]:
        """Return the row as text: name, state, pid, port, uptime, memory."""
        port = str(self.port or "")
        if self.pid is None:
            return (self.name, "gone", "", port, "", "")
        minutes, seconds = divmod(int(self.uptime_s), 60)
        uptime = f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
        return (self.name, "up", str(self.pid), port, uptime, f"{self.memory_bytes / 2**20:.0f} MiB")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that the stack needs."""

    what: str
    found: str
    good: bool
    mend: str = ""
    """What happens or has to be done if it is not good."""


def rows(paths: Paths) -> list[Row]:
    """Return every process that has a pid file."""
    processes = Processes(paths.run)
    known = ports.load(paths.run / "ports.json") | ports.load(paths.run / "product-ports.json")
    found = []
    for name in processes.names():
        record = processes.record(name)
        pid = None if record is None else record.pid
        uptime_s = 0.0 if record is None else time.time() - record.started_at_s
        memory = 0 if pid is None else resident_bytes(pid)
        found.append(Row(name, pid, known.get(name), uptime_s, memory))
    return found


def doctor(paths: Paths) -> list[Finding]:
    """Return what the stack needs on this machine and what is there."""
    return [_way(), *_tools(), _distribution(), *_machine(paths)]


def _way() -> Finding:
    try:
        return Finding("way", str(ways.choose()), good=True)
    except StackError as error:
        return Finding("way", "none", good=False, mend=str(error))


def _tools() -> list[Finding]:
    go_path, java_path = shutil.which("go"), shutil.which("java")
    go = toolchains.go_version(go_path) if go_path else (0, 0)
    java = toolchains.java_version(java_path) if java_path else 0
    by_itself = "is fetched by `make stack`"
    return [
        Finding("Go 1.24 or newer", ".".join(map(str, go)), go >= toolchains.GO_MINIMUM, by_itself),
        Finding("Java 17 or newer", str(java), java >= toolchains.JAVA_MINIMUM, by_itself),
        Finding("Maven", shutil.which("mvn") or "-", shutil.which("mvn") is not None, by_itself),
        Finding("apt-get", shutil.which("apt-get") or "-", shutil.which("apt-get") is not None, "use Debian 12"),
    ]


def _distribution() -> Finding:
    try:
        suite, package = mysql.distribution()
    except StackError as error:
        return Finding("MySQL for this system", "-", good=False, mend=str(error))
    return Finding("MySQL for this system", f"{package} of {suite}", good=True)


def _machine(paths: Paths) -> list[Finding]:
    where = next(path for path in (paths.cache, *paths.cache.parents) if path.exists())
    disk = shutil.disk_usage(where).free / 2**30
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    root = os.geteuid() == 0
    version = ".".join(map(str, sys.version_info[:3]))
    return [
        Finding("Python 3.11 or newer", version, sys.version_info >= (3, 11), "install a newer one"),
        Finding("root", "yes" if root else "no", root, "install what is missing yourself, or be root"),
        Finding(f"{_DISK_GIB} GiB of disk", f"{disk:.0f} GiB at {where}", disk >= _DISK_GIB, "set ROWPLANE_CACHE"),
        Finding(f"{_MEMORY_GIB} GiB of memory", f"{memory:.0f} GiB", memory >= _MEMORY_GIB, "use a larger machine"),
    ]
