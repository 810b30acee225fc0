"""Choose how the stack runs on this machine: given from outside, in containers, or as plain processes.

Fed by: `ROWPLANE_STACK`, `ROWPLANE_STACK_*`, the presence of a container engine. Feeds: `__main__`. Never:
starts anything.
"""

import enum
import os
import subprocess
from collections.abc import Callable, Mapping

from deploy.stack.endpoints import PREFIX, REQUIRED, is_external, load_endpoints
from deploy.stack.errors import StackError
from deploy.stack.paths import Paths


class Way(enum.StrEnum):
    """How the stack runs."""

    EXTERNAL = "external"
    DOCKER = "docker"
    NATIVE = "native"


def docker_answers() -> bool:
    """Tell whether a Docker engine with the compose plugin can be used."""
    for command in (["docker", "info"], ["docker", "compose", "version"]):
        try:
            done = subprocess.run(command, capture_output=True, timeout=15, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return False
        if done.returncode != 0:
            return False
    return True


def choose(environ: Mapping[str, str] = os.environ, has_docker: Callable[[], bool] = docker_answers) -> Way:
    """Return the way: `ROWPLANE_STACK` if it is set, else the first that is possible.

    Servers given from outside come first, then containers, then plain processes. Raises StackError if only
    some of the variables for servers from outside are set, or `ROWPLANE_STACK` is not a way.
    """
    wanted = environ.get("ROWPLANE_STACK", "")
    if wanted:
        try:
            return Way(wanted)
        except ValueError as error:
            raise StackError(f"ROWPLANE_STACK is {wanted!r}; set it to external, docker or native") from error
    if is_external(environ):
        return Way.EXTERNAL
    if any(environ.get(PREFIX + name) for name in REQUIRED):
        raise StackError(f"{', '.join(missing(environ))} not set; set all of them for a stack of yours, or none")
    return Way.DOCKER if has_docker() else Way.NATIVE


def missing(environ: Mapping[str, str]) -> list[str]:
    """Return the names of the variables that a stack from outside still needs."""
    return [PREFIX + name for name in REQUIRED if not environ.get(PREFIX + name)]


def running(paths: Paths) -> Way | None:
    """Return the way in which the known stack runs, None if none is known."""
    found = load_endpoints(paths)
    return None if found is None else Way(found.way)
