"""One server of the stack as data, and how it is brought up.

Fed by: the servers' modules (kafka, kubernetes, mysql, mariadb). Feeds: `native`. Never: starts a server
that already answers as ours, or one whose port somebody else holds.
"""

import hashlib
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from deploy.stack.errors import StackError
from deploy.stack.ports import is_free
from deploy.stack.processes import Processes

_POLL_S = 0.05
_PORT_S = 10.0
"""How long the port may be held by a process that has ended: one that was killed still listens while its last threads
end."""
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Component:
    """A server process of the stack."""

    name: str
    argv: tuple[str, ...]
    """The command line; the first word is an absolute path."""
    port: int
    """The port on 127.0.0.1 by which it is known."""
    prepare: Callable[[], None]
    """Makes its data directory and configuration; does nothing where they are there."""
    answers: Callable[[], bool]
    """Tells whether the server does its work now; it does not raise while the server is starting."""
    recipe: str = ""
    """What else decides how it runs, such as the text of its configuration file."""
    timeout_s: float = 60.0
    """How long it may take to answer after its start."""
    mend: str = "if its data is damaged, `make stack-down PURGE=1` starts afresh"
    """What a person can do when it does not come up."""
    environ: tuple[tuple[str, str], ...] = ()
    """Variables that it gets besides the caller's own."""

    @property
    def digest(self) -> str:
        """Return the digest of everything that decides how it runs."""
        return hashlib.sha256(repr((self.argv, self.recipe, self.environ)).encode()).hexdigest()


def is_up(component: Component, processes: Processes) -> bool:
    """Tell whether our process runs with this very definition and answers."""
    record = processes.record(component.name)
    return record is not None and record.digest == component.digest and component.answers()


def is_outdated(component: Component, processes: Processes) -> bool:
    """Tell whether our process runs with another definition than this one."""
    record = processes.record(component.name)
    return record is not None and record.digest != component.digest


def bring_up(component: Component, processes: Processes) -> None:
    """Make the server run and answer; one that does so already is left alone.

    A process of ours that was started otherwise, or that gives no answer in the time a start may take, is
    stopped first. Raises StackError with the end of its log if the new process ends or gives no answer.
    """
    record = processes.record(component.name)
    if record is not None and record.digest == component.digest and _await(component, processes):
        return
    processes.stop(component.name)
    component.prepare()
    _await_port(component.port)
    processes.start(
        component.name,
        component.argv,
        digest=component.digest,
        environ=dict(os.environ) | dict(component.environ),
    )
    if _await(component, processes):
        return
    if processes.owned(component.name) is None:
        raise StackError(_failure(component, processes, "ended while starting"))
    raise StackError(_failure(component, processes, f"gave no answer in {component.timeout_s:.0f} s"))


def _await_port(port: int) -> None:
    """Wait until a server could listen there; one that cannot says so itself."""
    deadline = time.monotonic() + _PORT_S
    while not is_free(port) and time.monotonic() < deadline:
        time.sleep(_POLL_S)


def _await(component: Component, processes: Processes) -> bool:
    """Wait until the server answers; False if its process ends or the time is over."""
    deadline = time.monotonic() + component.timeout_s
    while not component.answers():
        if processes.owned(component.name) is None or time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True


def _failure(component: Component, processes: Processes, what: str) -> str:
    return (
        f"{component.name} {what}; {component.mend}. "
        f"The end of {processes.log_path(component.name)}:\n{processes.log_tail(component.name)}"
    )


def side_by_side(work: Callable[[_T], None], items: Sequence[_T]) -> None:
    """Do the work for every item at the same time; the first error is raised when all came to rest."""
    with ThreadPoolExecutor(max_workers=max(1, len(items))) as pool:
        running = [pool.submit(work, item) for item in items]
    for future in running:
        future.result()
