"""What processes use: processor time and memory, by the part of the system that they are of.

Fed by: /proc, the pid files of the stack and of a product. Feeds: fleet.py, scaleout.py, footprint.py. Never: counts a
process that it cannot name; servers that run elsewhere (Docker, a stack from outside) are left out.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.stack.paths import default_paths
from deploy.stack.processes import Processes
from tests.product import CAPTURE, Product

__all__ = ["Meter", "cpu_s", "memories", "memory_mib", "processes_of", "with_children"]

SERVERS: Final = {
    "kube-apiserver": "api-server",
    "etcd": "etcd",
    "kube-controller-manager": "controller-manager",
    "kafka": "kafka",
    "mysql": "mysql",
}
"""Process of the stack → part."""
_TICK_S: Final = 1 / os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """Processor time of a process and of its children that have ended, in seconds; 0 when there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except OSError:
        return 0.0
    return sum(int(field) for field in text.rpartition(")")[2].split()[11:15]) * _TICK_S


def memory_mib(pid: int, field: str = "VmRSS") -> float:
    """A line of /proc/PID/status in MiB: `VmRSS` resident now, `VmHWM` at most; 0 when there is no such process."""
    try:
        text = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in text.splitlines() if line.startswith(f"{field}:")), 0.0)


def with_children(pid: int) -> list[int]:
    """The process and its children, as they are now."""
    try:
        texts = [path.read_text(encoding="ascii") for path in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:
        texts = []
    return [pid, *(int(child) for text in texts for child in text.split())]


def memories(product: Product, reconcilers: Iterable[str], field: str = "VmRSS") -> dict[str, float]:
    """`capture-supervisor`, `capture` (its child, if there is one yet) and each reconciler that runs: MiB."""
    supervisor, *children = with_children(product.pid(CAPTURE))
    found = {"capture-supervisor": memory_mib(supervisor, field)}
    if children:
        found["capture"] = memory_mib(children[0], field)
    return found | {name: memory_mib(product.pid(name), field) for name in reconcilers if product.runs(name)}


def processes_of(product: Product, reconcilers: Iterable[str]) -> dict[str, list[int]]:
    """Part → its processes that run now."""
    stack = Processes(default_paths().run)
    found = {part: [pid] for name, part in SERVERS.items() if (pid := stack.owned(name)) is not None}
    if product.runs(CAPTURE):
        found["capture"] = with_children(product.pid(CAPTURE))
    running = [product.pid(name) for name in reconcilers if product.runs(name)]
    if running:
        found["reconcilers"] = running
    return found


@dataclass(frozen=True, slots=True)
class Meter:
    """Processor time from its making on."""

    processes: Mapping[str, list[int]]
    began_s: float
    before_s: Mapping[int, float]

    @classmethod
    def start(cls, processes: Mapping[str, list[int]]) -> Meter:
        """Of these processes, by part."""
        return cls(processes, time.monotonic(), {pid: cpu_s(pid) for pids in processes.values() for pid in pids})

    def used_s(self) -> dict[str, float]:
        """Part → processor seconds since."""
        return {part: sum(cpu_s(p) - self.before_s[p] for p in pids) for part, pids in self.processes.items()}

    def cores(self) -> dict[str, float]:
        """Part → cores that it has kept busy since, on average."""
        wall_s = time.monotonic() - self.began_s
        return {part: used_s / wall_s for part, used_s in self.used_s().items()}
