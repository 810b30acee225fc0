"""Components: started when needed, left alone when fine, restarted when changed or dead."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.stack import kafka, ports
from deploy.stack.components import Component, bring_up, is_outdated, is_up, side_by_side
from deploy.stack.errors import StackError
from deploy.stack.processes import Processes

SERVER = """\
import os, pathlib, socket, sys, time
listener = socket.create_server(("127.0.0.1", int(sys.argv[2])))
pathlib.Path(sys.argv[1]).write_text(f"{os.getpid()} {os.environ.get('COLOR', '')}")
time.sleep(60)
"""


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    ours = Processes(tmp_path / "run")
    yield ours
    for name in ours.names():
        ours.stop(name, timeout_s=0.1)


@pytest.fixture
def server(tmp_path: Path, processes: Processes) -> Component:
    """A server that answers by writing its pid into a file."""
    answer, port = tmp_path / "answer", ports.choose({"server": 22999}, {}, ())["server"]

    def answers() -> bool:
        pid = processes.owned("server")
        return pid is not None and answer.exists() and answer.read_text().split()[:1] == [str(pid)]

    return Component(
        name="server",
        argv=(sys.executable, "-c", SERVER, str(answer), str(port)),
        port=port,
        prepare=lambda: None,
        answers=answers,
        timeout_s=10,
    )


def test_a_server_is_started_once(server: Component, processes: Processes) -> None:
    assert not is_up(server, processes)
    bring_up(server, processes)
    first = processes.owned("server")
    bring_up(server, processes)
    assert is_up(server, processes)
    assert processes.owned("server") == first


def test_a_killed_server_is_started_again(server: Component, processes: Processes) -> None:
    bring_up(server, processes)
    killed = processes.owned("server")
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    os.waitpid(killed, 0)
    bring_up(server, processes)
    assert processes.owned("server") not in (None, killed)


def test_a_port_that_a_killed_server_still_holds_is_waited_for(server: Component, processes: Processes) -> None:
    """It counts as ended while its last thread still listens: the API server's successor failed to bind."""
    with socket.create_server(("127.0.0.1", server.port)) as last_thread:
        end = threading.Timer(0.5, last_thread.close)
        end.start()
        bring_up(server, processes)
    end.join()
    assert is_up(server, processes)


@pytest.mark.parametrize("change", [{"recipe": "other file"}, {"environ": (("COLOR", "green"),)}])
def test_a_changed_definition_restarts_the_server(
    server: Component, processes: Processes, tmp_path: Path, change: dict[str, str]
) -> None:
    bring_up(server, processes)
    before = processes.owned("server")
    changed = replace(server, **change)  # type: ignore[arg-type]  # the parameters are fields of Component
    assert is_outdated(changed, processes)
    bring_up(changed, processes)
    assert processes.owned("server") not in (None, before)
    assert not is_outdated(changed, processes)
    assert ("green" in (tmp_path / "answer").read_text()) == ("environ" in change)


def test_a_server_that_ends_at_once_shows_its_last_words(server: Component, processes: Processes) -> None:
    broken = replace(server, argv=("/bin/sh", "-c", "echo disk full; exit 1"))
    with pytest.raises(StackError, match=r"(?s)server ended while starting.*PURGE=1.*disk full"):
        bring_up(broken, processes)


def test_a_server_that_never_answers_is_reported(server: Component, processes: Processes) -> None:
    silent = replace(server, answers=lambda: False, timeout_s=0.2)
    with pytest.raises(StackError, match="server gave no answer"):
        bring_up(silent, processes)


def test_work_side_by_side_raises_the_first_error_after_all_came_to_rest() -> None:
    done: list[int] = []

    def work(number: int) -> None:
        if number == 1:
            raise StackError("one failed")
        time.sleep(0.05)
        done.append(number)

    with pytest.raises(StackError, match="one failed"):
        side_by_side(work, [1, 2, 3])
    assert sorted(done) == [2, 3]


def test_nothing_listens_means_that_kafka_does_not_answer() -> None:
    with socket.socket() as placeholder:
        placeholder.bind(("127.0.0.1", 0))
        port = placeholder.getsockname()[1]
        assert kafka.answers(port) is False
        with pytest.raises(StackError, match="ROWPLANE_STACK_KAFKA_BOOTSTRAP_SERVERS"):
            kafka.require(f"127.0.0.1:{port}")
