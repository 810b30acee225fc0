"""Choose TCP ports on 127.0.0.1 and keep them over restarts.

Fed by: the wanted defaults, the ports of the last start, and what is free now. Feeds: component
definitions. Never: moves the port of a running component.
"""

import json
import socket
from collections.abc import Collection, Mapping
from pathlib import Path

from deploy.stack.errors import StackError
from deploy.stack.paths import write_private

_STEP = 101
_CEILING = 32768  # from here on the kernel hands out ports to outgoing connections


def is_free(port: int) -> bool:
    """Tell whether a server could listen on 127.0.0.1 at this port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def choose(defaults: Mapping[str, int], saved: Mapping[str, int], ours: Collection[str]) -> dict[str, int]:
    """Return a port for every name in `defaults`.

    A saved port is kept if its name is in `ours` (our process holds it) or if it is free; otherwise the
    default and then every 101st port above it is tried, below the range of outgoing connections.
    """
    chosen: dict[str, int] = {
        name: saved[name] for name in defaults if name in saved and (name in ours or is_free(saved[name]))
    }
    for name, default in defaults.items():
        if name in chosen:
            continue
        taken = set(chosen.values())
        candidates = range(default, _CEILING, _STEP)
        free = next((port for port in candidates if port not in taken and is_free(port)), None)
        if free is None:
            raise StackError(f"no free port for {name} from {default} upwards; stop a server that holds one")
        chosen[name] = free
    return chosen


def load(path: Path) -> dict[str, int]:
    """Read the ports of the last start; none if there was none."""
    try:
        return {str(name): int(port) for name, port in json.loads(path.read_text(encoding="utf-8")).items()}
    except (FileNotFoundError, json.JSONDecodeError):
        return {}


def save(path: Path, ports: Mapping[str, int]) -> None:
    """Keep the ports for the next start."""
    write_private(path, json.dumps(ports, indent=1))
