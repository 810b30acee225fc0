"""Threads share two heaps: heaps of their own kept what was needed once. Full collections of garbage are rare."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from tests.builders import ROOT

_COUNT = """
import sys, threading
from shared.memory import share_heaps
if sys.argv[1] == "shared":
    share_heaps()
barrier = threading.Barrier(9)
def work():
    held = [bytes(3000) for _ in range(100)]  # more than Python's own allocator takes
    barrier.wait()
    barrier.wait()
threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads:
    thread.start()
barrier.wait()
starts = [int(line.split("-")[0], 16) for line in open("/proc/self/maps") if len(line.split()) == 5]
print(sum(start % 2**26 == 0 for start in starts))
barrier.wait()
"""


def _heaps(how: str) -> int:
    """Heaps of threads in a process of which eight have allocated: each begins at a multiple of 64 MiB."""
    answer = subprocess.run(
        [sys.executable, "-c", _COUNT, how], capture_output=True, text=True, timeout=60, check=True, cwd=ROOT
    )
    return int(answer.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="heaps of threads are glibc's")
def test_threads_share_one_heap_beside_the_first() -> None:
    assert _heaps("each") > 2
    assert _heaps("shared") <= 1


_GROW = """
import gc, sys
from shared.memory import collect_seldom
if sys.argv[1] == "seldom":
    collect_seldom()
held = [[number] for number in range(500_000)]
print(gc.get_stats()[2]["collections"])
"""


def _full_collections(how: str) -> int:
    """Of a process that comes to hold half a million lists."""
    answer = subprocess.run(
        [sys.executable, "-c", _GROW, how], capture_output=True, text=True, timeout=60, check=True, cwd=ROOT
    )
    return int(answer.stdout)


def test_what_is_held_is_seldom_looked_through() -> None:
    """All threads stood for 200 ms every few seconds in a reconciler of 5,000 nodes, and changes waited."""
    assert _full_collections("usual") > 3
    assert _full_collections("seldom") == 0
