"""Two heaps for all threads, in place of up to eight for each core.

glibc gives threads heaps of their own (mallopt(3), M_ARENA_MAX), each of which keeps what its threads once needed.
Threads of Python take turns anyway. A reconciler with 5,600 objects had 133 MiB resident with them, 124 MiB without.
Fed by: the processes' first lines. Feeds: the C library. Never: fails where there is no glibc; it does nothing there.
"""

from __future__ import annotations

import ctypes
import platform

__all__ = ["share_heaps"]

_M_ARENA_MAX = -8
_HEAPS = 2


def share_heaps() -> None:
    """To be called before the first thread is started."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _HEAPS)
