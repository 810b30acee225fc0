"""Start, find and stop background processes that outlive the command that started them.

Fed by: component definitions (name, arguments). Feeds: `native`, `product` and tests that kill servers.
Never: signals a process whose start time and boot differ from the recorded ones, so a recycled pid is safe.
"""

import contextlib
import json
import os
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from deploy.stack.errors import StackError
from deploy.stack.paths import write_private

_PROC = Path("/proc")
_POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Record:
    """What a pid file says about the process we started."""

    pid: int
    start_ticks: int
    """Start time of the process in clock ticks since boot: /proc/PID/stat, field 22 (proc(5))."""
    boot_id: str
    """Random id of the boot in which it started: ticks of another boot mean nothing."""
    digest: str
    """Digest of what the process was started with; another digest means that a restart is due."""
    started_at_s: float
    """Wall clock at the start, seconds since the epoch, for people only."""


class Processes:
    """The processes of one run directory, by name."""

    def __init__(self, run: Path) -> None:
        self._pids = run / "pids"
        self._logs = run / "logs"

    def names(self) -> list[str]:
        """Return the names that have a pid file, alive or not."""
        return sorted(path.stem for path in self._pids.glob("*.json"))

    def log_path(self, name: str) -> Path:
        """Return the file that collects the output of a process; it is appended to, never cut."""
        return self._logs / f"{name}.log"

    def start(
        self, name: str, argv: Sequence[str], *, digest: str = "", environ: Mapping[str, str] | None = None
    ) -> int:
        """Start a process in its own session and record it; returns its pid.

        `environ` replaces the environment; without it ours is passed on. Raises StackError if the program
        cannot be executed.
        """
        self._pids.mkdir(parents=True, exist_ok=True)
        self._logs.mkdir(parents=True, exist_ok=True)
        log_flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        try:
            pid = os.posix_spawn(
                argv[0],
                list(argv),
                dict(os.environ if environ is None else environ),
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 1, str(self.log_path(name)), log_flags, 0o600),
                    (os.POSIX_SPAWN_DUP2, 1, 2),
                ],
                setsid=True,
                setsigmask=[],
                setsigdef=[signal.SIGINT, signal.SIGPIPE, signal.SIGTERM],
            )
        except OSError as error:
            raise StackError(f"{name} cannot start: {argv[0]}: {error.strerror}") from error
        stat = _stat(pid)
        if stat is None:
            raise StackError(f"{name} ended at once; its output is in {self.log_path(name)}")
        record = Record(pid, stat.start_ticks, _boot_id(), digest, time.time())
        write_private(self._pid_file(name), json.dumps(asdict(record)))
        return pid

    def owned(self, name: str) -> int | None:
        """Return the pid of a live process that we started under this name, else None."""
        record = self.record(name)
        return None if record is None else record.pid

    def record(self, name: str) -> Record | None:
        """Return the record of a live process that we started under this name, else None."""
        try:
            record = Record(**json.loads(self._pid_file(name).read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (json.JSONDecodeError, TypeError):
            return None  # a torn or foreign file proves no ownership
        return record if _is_same(record) else None

    def stop(self, name: str, *, timeout_s: float = 20.0) -> bool:
        """Stop our process: SIGTERM, and SIGKILL after the timeout. Returns whether one was running."""
        record = self.record(name)
        if record is not None:
            _signal(record, signal.SIGTERM)
            _signal(record, signal.SIGCONT)  # a stopped process cannot act on SIGTERM
            if not _wait_gone(record, timeout_s):
                _signal(record, signal.SIGKILL)
                if not _wait_gone(record, 10.0):
                    raise StackError(f"{name} (pid {record.pid}) does not end, not even by SIGKILL")
        self._pid_file(name).unlink(missing_ok=True)
        return record is not None

    def log_tail(self, name: str, lines: int = 15) -> str:
        """Return the last lines of a process's output, for error messages."""
        try:
            text = self.log_path(name).read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return "(no output)"
        return "\n".join(text.splitlines()[-lines:])

    def _pid_file(self, name: str) -> Path:
        return self._pids / f"{name}.json"


@dataclass(frozen=True, slots=True)
class _Stat:
    state: str
    start_ticks: int


def _stat(pid: int) -> _Stat | None:
    """Read /proc/PID/stat; None if there is no such process."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text[text.rindex(")") + 2 :].split()  # the command, field 2, may hold spaces and parentheses
    return _Stat(state=fields[0], start_ticks=int(fields[19]))


def _boot_id() -> str:
    return (_PROC / "sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()


def _is_same(record: Record) -> bool:
    """Tell whether the recorded process still runs: same boot, same start time, not a zombie."""
    _collect(record.pid)
    stat = _stat(record.pid)
    if stat is not None and stat.state in "ZX":
        _collect(record.pid)  # it has ended between the two looks
        return False
    return stat is not None and stat.start_ticks == record.start_ticks and record.boot_id == _boot_id()


def _collect(pid: int) -> None:
    """Take note of the end of our own child, so that it does not stay a zombie; others are not ours to wait for."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def _signal(record: Record, number: signal.Signals) -> None:
    if _is_same(record):
        with contextlib.suppress(ProcessLookupError):
            os.kill(record.pid, number)


def _wait_gone(record: Record, timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while _is_same(record):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process in bytes (VmRSS of /proc/PID/status), 0 if it is gone."""
    try:
        text = (_PROC / str(pid) / "status").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return 0
    for line in text.splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0
