"""Capture's connections to Kafka end together when one of them cannot be used."""

from __future__ import annotations

import pytest

from cdc import app
from cdc.app import Capture
from shared.errors import LogUnreachable
from shared.settings import KafkaSettings


class Connection:
    """A producer or an admin client: open until it is closed."""

    def __init__(self) -> None:
        self.is_open = True

    def close(self, _timeout_s: float = 0.0) -> None:
        self.is_open = False


def test_all_is_closed_when_the_epoch_cannot_be_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each attempt that got as far as the topic of states left an admin client with its thread behind."""
    producer, admin = Connection(), Connection()

    def fail(*_: object) -> None:
        raise LogUnreachable("topic of states: Kafka does not answer")

    monkeypatch.setattr(app, "open_producer", lambda _settings: producer)
    monkeypatch.setattr(app, "connect_admin", lambda _settings: admin)
    monkeypatch.setattr(app, "KafkaStateStore", fail)
    capture = Capture.__new__(Capture)  # no cluster
    capture._kafka, capture._server = KafkaSettings(), "db"
    with pytest.raises(LogUnreachable):
        capture._open_log()
    assert not producer.is_open
    assert not admin.is_open
