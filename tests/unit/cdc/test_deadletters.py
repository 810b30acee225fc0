"""Dead rows: how many there are now, whatever is sent in their place."""

from __future__ import annotations

from typing import Any

from cdc.adapters.deadletters import DeadLetters
from cdc.core.records import Record
from shared.model.names import HEADER_VERSION
from shared.settings import KafkaSettings


class FakeAdmin:
    """Every topic exists."""

    def describe_topics(self, names: list[str]) -> list[dict[str, Any]]:
        """With one partition."""
        return [{"name": name, "partitions": [0], "error_code": 0} for name in names]


def _record(uid: str, value: bytes | None = b"row") -> Record:
    return Record("nodes", 0, uid.encode(), value, ((HEADER_VERSION, b"1.1.1.0.0.0"),), uid)


def test_a_row_is_dead_until_it_is_told_as_it_is() -> None:
    told: list[tuple[str, int, str]] = []
    letters = DeadLetters(FakeAdmin(), KafkaSettings(), lambda *words: told.append(words))
    for uid, reason in (("a", "spoilt"), ("b", "too large"), ("a", "spoilt again")):
        letter, mark = letters.bury(_record(uid, None), reason)
        letters.good([letter])
        letters.good([mark])
    assert told[-1] == ("nodes", 2, "row a: spoilt again"), "a row counts once, and what stands in its place is no row"
    letters.good([_record("c")])
    letters.good([_record("a")])
    assert told[3:] == [("nodes", 1, "row b: too large")]
    letters.good([_record("b")])
    assert told[-1][:2] == ("nodes", 0)
