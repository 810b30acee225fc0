"""Ports: stable over restarts, never one that somebody else holds."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.stack import ports


@pytest.fixture
def taken() -> Iterator[int]:
    """A port below the ephemeral range on which somebody listens."""
    for port in range(21000, 32000, 7):
        listener = socket.socket()
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            listener.close()
            continue
        with listener:
            listener.listen()
            yield port
            return


def test_a_free_default_is_taken(taken: int) -> None:
    free = next(port for port in range(taken + 1, 32000) if ports.is_free(port))
    assert ports.choose({"mysql": free}, {}, ()) == {"mysql": free}


def test_a_busy_default_is_avoided(taken: int) -> None:
    chosen = ports.choose({"mysql": taken}, {}, ())
    assert chosen["mysql"] != taken
    assert chosen["mysql"] < 32768
    assert ports.is_free(chosen["mysql"])


def test_a_saved_port_wins_over_the_default(taken: int) -> None:
    free = next(port for port in range(taken + 1, 32000) if ports.is_free(port))
    assert ports.choose({"mysql": 23306}, {"mysql": free}, ()) == {"mysql": free}


def test_a_saved_port_that_our_process_holds_is_kept(taken: int) -> None:
    assert ports.choose({"mysql": 23306}, {"mysql": taken}, ["mysql"]) == {"mysql": taken}


def test_a_saved_port_that_somebody_else_holds_is_given_up(taken: int) -> None:
    assert ports.choose({"mysql": 23306}, {"mysql": taken}, ())["mysql"] != taken


def test_two_names_never_share_a_port(taken: int) -> None:
    chosen = ports.choose({"mysql": taken, "mariadb": taken, "kafka": taken}, {}, ())
    assert len(set(chosen.values())) == 3


def test_ports_are_kept_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "ports.json"
    assert ports.load(file) == {}
    ports.save(file, {"mysql": 23306})
    assert ports.load(file) == {"mysql": 23306}
