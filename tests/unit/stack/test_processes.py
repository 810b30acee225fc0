"""Processes: what we started is found and stopped; what we did not start is never touched."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy.stack.errors import StackError
from deploy.stack.processes import Processes, resident_bytes

SLEEP = ("/bin/sleep", "60")
STUBBORN = (
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)",
)


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    """Processes of a run directory of their own; what a test leaves running is stopped."""
    ours = Processes(tmp_path)
    yield ours
    for name in ours.names():
        ours.stop(name, timeout_s=0.1)


@pytest.fixture
def stranger() -> Iterator[int]:
    """The pid of a live process that no pid file of ours names."""
    with subprocess.Popen(SLEEP) as process:
        yield process.pid
        process.kill()


def await_true(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in 10 s"
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_started_process_is_owned_and_leads_its_own_session(processes: Processes) -> None:
    pid = processes.start("server", SLEEP)
    assert processes.owned("server") == pid
    assert os.getsid(pid) == pid
    assert resident_bytes(pid) > 0


def test_another_reader_of_the_run_directory_sees_the_process(processes: Processes, tmp_path: Path) -> None:
    pid = processes.start("server", SLEEP, digest="recipe")
    record = Processes(tmp_path).record("server")
    assert record is not None
    assert (record.pid, record.digest) == (pid, "recipe")


def test_stop_ends_the_process_and_forgets_it(processes: Processes) -> None:
    pid = processes.start("server", SLEEP)
    assert processes.stop("server") is True
    assert not is_alive(pid)
    assert processes.names() == []


def test_stop_kills_a_process_that_ignores_the_request(processes: Processes) -> None:
    pid = processes.start("server", STUBBORN)
    await_true(lambda: "deaf" in processes.log_tail("server"))
    assert processes.stop("server", timeout_s=0.1) is True
    assert not is_alive(pid)


def test_stop_ends_a_process_that_was_frozen(processes: Processes) -> None:
    pid = processes.start("server", SLEEP)
    os.kill(pid, signal.SIGSTOP)
    assert processes.stop("server", timeout_s=5) is True
    assert not is_alive(pid)


def test_a_killed_process_is_not_owned_any_more(processes: Processes) -> None:
    pid = processes.start("server", SLEEP)
    os.kill(pid, signal.SIGKILL)
    await_true(lambda: processes.owned("server") is None)
    assert processes.stop("server") is False


@pytest.mark.parametrize("changed", [{"start_ticks": 1}, {"boot_id": "another boot"}])
def test_a_recycled_pid_is_neither_owned_nor_killed(
    processes: Processes, tmp_path: Path, stranger: int, changed: dict[str, object]
) -> None:
    own = processes.start("server", SLEEP)
    record = processes.record("server")
    assert record is not None
    processes.stop("server")
    ticks = int(Path(f"/proc/{stranger}/stat").read_text().rpartition(")")[2].split()[19])
    twin = dataclasses.asdict(record) | {"pid": stranger, "start_ticks": ticks}
    pid_file = tmp_path / "pids" / "server.json"
    pid_file.write_text(json.dumps(twin))
    assert processes.owned("server") == stranger, "the forged record must differ in the tested field alone"
    pid_file.write_text(json.dumps(twin | changed))
    assert processes.owned("server") is None
    assert processes.stop("server") is False
    assert is_alive(stranger)
    assert not is_alive(own)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}'])
def test_a_damaged_pid_file_proves_nothing(processes: Processes, tmp_path: Path, text: str) -> None:
    (tmp_path / "pids").mkdir()
    (tmp_path / "pids" / "server.json").write_text(text)
    assert processes.owned("server") is None


def test_output_is_kept_over_restarts(processes: Processes) -> None:
    for word in ("first", "second"):
        processes.start("server", ("/bin/sh", "-c", f"echo {word}; echo problem >&2"))
        await_true(lambda: processes.owned("server") is None)
    assert processes.log_tail("server").split() == ["first", "problem", "second", "problem"]


def test_a_program_that_is_not_there_is_named(processes: Processes) -> None:
    with pytest.raises(StackError, match="server cannot start: /no/such/program"):
        processes.start("server", ("/no/such/program",))
