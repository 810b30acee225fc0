"""Dead letters of the reconcilers on the real broker."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator

import pytest

from deploy.stack.endpoints import Endpoints
from reconciler.adapters.dead_letters import DeadLetters
from reconciler.view import ViewHolder
from shared.errors import LogError
from shared.kafka import connect_admin, connect_consumer, read_all
from shared.model.envelope import decode_key
from shared.model.names import HEADER_DEAD, HEADER_VERSION, dead_topic, partition_of
from shared.settings import KafkaSettings
from tests.builders import KEY, example_form, node_row_of, row_state, version, view_of

pytestmark = pytest.mark.stack


@pytest.fixture
def settings(endpoints: Endpoints) -> Iterator[KafkaSettings]:
    """A prefix of its own, whose topic of dead letters is not there yet."""
    made = KafkaSettings(tuple(endpoints.kafka_bootstrap_servers.split(",")), f"test-{secrets.token_hex(4)}")
    yield made
    admin = connect_admin(made)
    admin.delete_topics([dead_topic(made.topic_prefix)])
    admin.close()


def test_a_letter_says_which_row_and_why_under_the_row_s_key(settings: KafkaSettings) -> None:
    letters = DeadLetters(settings, ViewHolder(view_of(example_form())))
    for reason in ("name is too long", "still too long"):
        letters.bury(KEY, row_state(100, node_row_of()), reason)
    letters.close()
    topic, partition = dead_topic(settings.topic_prefix), partition_of(KEY.uid, 256)
    consumer = connect_consumer(settings)
    try:
        stored = list(read_all(consumer, topic, [partition]))
    finally:
        consumer.close()
    assert [dict(r.headers)[HEADER_DEAD] for r in stored] == [b"name is too long", b"still too long"]
    record = stored[0]
    assert decode_key(record.key) == ("node_id", KEY.uid)
    assert dict(record.headers)[HEADER_VERSION].decode() == version(100).text()
    letter = json.loads(record.value)
    assert (letter["reason"], letter["node"]) == ("name is too long", f"{KEY.namespace}/{KEY.name}")
    assert letter["version"] == version(100).text()


def test_without_a_broker_nothing_counts_as_stored() -> None:
    letters = DeadLetters(KafkaSettings(("127.0.0.1:1",)), ViewHolder(view_of(example_form())))
    with pytest.raises(LogError):
        letters.bury(KEY, row_state(100, node_row_of()), "name is too long")
