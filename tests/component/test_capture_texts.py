"""Texts that a server stores as UTF-8 and that are none: the row is a dead letter, and everything else goes on."""

from __future__ import annotations

from collections.abc import Iterator

import pymysql
import pytest

from cdc.adapters.snapshot import SqlTables
from cdc.core.plan import TableSpec
from cdc.ports import Login
from deploy.stack.endpoints import Endpoints
from shared.kafka import connect_consumer, read_all
from shared.kube import KubeClient
from shared.model.envelope import decode_key
from shared.model.names import dead_topic
from shared.model.position import TableId
from tests.component.conftest import CaptureWorld, make_world

pytestmark = pytest.mark.stack

HALF = "EDA0BD"
"""Half of a surrogate pair, U+D83D."""


@pytest.fixture
def world(endpoints: Endpoints, cluster: KubeClient) -> Iterator[CaptureWorld]:
    """A fresh world on MariaDB: MySQL refuses such a text."""
    yield from make_world(endpoints, cluster, "mariadb")


def _make_table(world: CaptureWorld, charset: str) -> None:
    text = f"CHARACTER SET {charset}"
    columns = f"node_id VARCHAR(40) {text} PRIMARY KEY, active TINYINT(1) NOT NULL, color VARCHAR(10) {text}, junk INT"
    world.make_table("nodes", columns)
    world.fill(["a", "z"])


def _insert(world: CaptureWorld, uid: str, color: str) -> None:
    """A row of these bytes, given in hexadecimal. Skips where the server does not store them, or sends others."""
    try:
        world.sql(f"INSERT INTO DB.nodes VALUES (X'{uid}', 1, X'{color}', 0)")  # noqa: S608  # digits of this file
    except pymysql.err.Error as error:
        pytest.skip(f"the server refuses half of a surrogate pair: {error}")
    sent = world.sql("SELECT HEX(CONVERT(node_id USING utf8mb4)), HEX(CONVERT(color USING utf8mb4)) FROM DB.nodes")
    if (uid, color) not in sent:
        pytest.skip(f"the server sends other bytes than it was given: {sent}")


def _hex(text: str) -> str:
    return text.encode().hex().upper()


def _letters(world: CaptureWorld) -> set[str]:
    """Uids of the dead letters."""
    consumer, topic = connect_consumer(world.kafka), dead_topic(world.name)
    try:
        partitions = sorted(consumer.partitions_for_topic(topic) or ())
        return {decode_key(record.key)[1] for record in read_all(consumer, topic, partitions)} if partitions else set()
    finally:
        consumer.close()


def _message(world: CaptureWorld) -> str:
    return str(world.conditions().get("Synced", {}).get("message"))


@pytest.mark.parametrize("charset", ["utf8mb4", "utf8mb3"])
def test_a_row_whose_text_is_no_utf_8_is_a_dead_letter_and_the_process_lives(world: CaptureWorld, charset: str) -> None:
    """The read of its table ended the process, and so did that of the next start, with all tables of the server."""
    _make_table(world, charset)
    _insert(world, _hex("half"), HALF)
    world.make_hub()
    process = world.start()
    told = world.wait_reason("DeadLetters")["Synced"]["message"]
    assert "row half: column color holds a text that is not UTF-8: ed a0 bd at byte 0" in told
    world.wait_rows({"a": "blue", "z": "blue"})
    world.paint(["a"], "green")
    world.wait_rows({"a": "green", "z": "blue"})

    _insert(world, _hex("other"), HALF)  # by the log, which is read at once
    world.sql("UPDATE DB.nodes SET junk = 1 WHERE node_id = 'half'")
    world.paint(["z"], "red")
    world.wait_rows({"a": "green", "z": "red"})
    world.eventually(lambda: _message(world).startswith("2 rows "), "both are told", shown=lambda: _message(world))
    assert _letters(world) == {"half", "other"}

    world.sql("UPDATE DB.nodes SET color = 'blue' WHERE node_id = 'half'", "DELETE FROM DB.nodes WHERE junk = 0")
    world.wait_rows({"half": "blue"})
    world.wait_reason("Streaming")
    assert process.poll() is None, "it is the same process from the beginning"


def test_a_key_that_is_no_utf_8_is_shown_by_its_bytes_and_read_on_behind(world: CaptureWorld) -> None:
    _make_table(world, "utf8mb4")
    _insert(world, _hex("k") + HALF, _hex("blue"))
    server, shown = world.server, r"k\xed\xa0\xbd"
    login = Login(server.host, server.port, server.user, server.password)
    spec = TableSpec(TableId(world.name, "nodes"), "topic", "node_id", ("color", "node_id"), ())
    uids: list[str] = []
    with SqlTables().open(login, spec, login) as reader:
        after: object | None = None
        for _ in range(9):
            rows, after = reader.chunk(after, 1)
            uids += [uid for uid, _ in rows]
            if after is None:
                break
    assert uids == ["a", shown, "z"]

    world.make_hub()
    process = world.start()
    assert f"row {shown}: column node_id holds" in world.wait_reason("DeadLetters")["Synced"]["message"]
    world.wait_rows({"a": "blue", "z": "blue"})
    assert _letters(world) == {shown}
    world.sql("DELETE FROM DB.nodes WHERE node_id NOT IN ('a', 'z')")
    world.wait_reason("Streaming")
    world.wait_rows({"a": "blue", "z": "blue"})
    assert process.poll() is None
