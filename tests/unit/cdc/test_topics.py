"""A topic that Kafka refuses: what is said of it, and that the tables beside it go on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from kafka.errors import (  # type: ignore[import-untyped]  # ships no types
    BrokerResponseError,
    InvalidTopicError,
    KafkaTimeoutError,
    NotControllerError,
    PolicyViolationError,
    SaslAuthenticationFailedError,
    ThrottlingQuotaExceededError,
    TopicAuthorizationFailedError,
)

from cdc.adapters.publisher import KafkaChangeLog
from cdc.adapters.topics import KafkaTopics
from cdc.ports import TopicFacts
from shared.errors import LogError, LogRefused, LogUnreachable
from shared.model.hub import Hub
from shared.model.position import Publish, TableState
from shared.settings import KafkaSettings
from tests.unit.cdc.fakes import ManualClock
from tests.unit.cdc.test_control import BAD, GOOD, Bench, _all_done, _hub

# -- what the broker answers -------------------------------------------------------------------------------------------


class RefusingAdmin:
    """A broker that answers the creation of any topic with an error."""

    def __init__(self, error: BrokerResponseError) -> None:
        self.error = error

    def describe_topics(self, names: list[str]) -> list[dict[str, Any]]:
        """There is none."""
        return [{"name": name, "partitions": [], "error_code": 3} for name in names]

    def create_topics(self, topics: dict[str, object], **options: object) -> None:
        """Refused."""
        raise self.error


class SilentAdmin:
    """A broker that has the topic, and keeps its settings from the account."""

    def describe_topics(self, names: list[str]) -> list[dict[str, Any]]:
        """With two partitions."""
        return [{"name": name, "partitions": [0, 1], "error_code": 0} for name in names]

    def describe_configs(self, resources: list[Any], config_filter: str) -> dict[str, dict[str, dict[str, Any]]]:
        """As kafka-python tells a refusal: without settings."""
        return {"topic": {resource.name: {} for resource in resources}}


def _answer(words: str) -> str:
    return (
        f"Request 'R(timeout_ms=1)' failed with response 'R(topics=[T(error_code=1, error_message={words!r}, x=0)])'."
    )


def _error(admin: Any) -> LogError:
    producer: Any = None
    with pytest.raises(LogError) as caught:
        KafkaTopics(admin, KafkaSettings(), KafkaChangeLog(producer, ManualClock())).ensure_table_topic("p.a_b", 8)
    return caught.value


@pytest.mark.parametrize(
    ("error", "told", "mend"),
    [
        (
            InvalidTopicError(_answer("Topic 'p.a_b' collides with existing topic: p.a.b")),
            "InvalidTopicError: Topic 'p.a_b' collides with existing topic: p.a.b",
            "rename one",
        ),
        (PolicyViolationError(_answer("at most 4")), "PolicyViolationError: at most 4", "Let the brokers' rules"),
        (TopicAuthorizationFailedError("no words"), "TopicAuthorizationFailedError", "ACLs"),
        (ThrottlingQuotaExceededError(_answer("slow")), "ThrottlingQuotaExceededError: slow", "quotas"),
        (
            KafkaTimeoutError("Topics not ready: {'p.a_b': 'TopicAuthorizationFailedError'}"),
            "TopicAuthorizationFailedError",
            "ACLs",
        ),
    ],
)
def test_a_refusal_of_one_topic_is_told_in_the_broker_s_words(error: Any, told: str, mend: str) -> None:
    found = _error(RefusingAdmin(error))
    assert (type(found), found.reason) == (LogRefused, "TopicRefused")
    assert found.text == f"topic p.a_b cannot be used: Kafka refused: {told}"
    assert mend in found.mend


def test_settings_that_may_not_be_seen_are_a_refusal() -> None:
    """The client answers with none then, and what was not found in it passed for a failure of the program."""
    found = _error(SilentAdmin())
    assert (type(found), found.reason) == (LogRefused, "TopicRefused")


def test_what_concerns_every_topic_stays_what_it_is() -> None:
    assert type(_error(RefusingAdmin(NotControllerError("asked another one")))) is LogUnreachable
    assert _error(RefusingAdmin(SaslAuthenticationFailedError("no"))).reason == "KafkaRefused"


# -- what capture does about it ----------------------------------------------------------------------------------------

REFUSED = LogRefused("topic p.bad cannot be used", mend="Allow it", reason="TopicRefused")


class RefusingBench(Bench):
    """A control thread whose broker refuses the topics of some tables."""

    def __init__(self, *hubs: Hub, refused: str) -> None:
        self.refused = refused
        self.asked: list[str] = []
        super().__init__(*hubs)

    def ensure_table_topic(self, topic: str, partitions: int) -> TopicFacts:
        """Unless it is refused."""
        self.asked.append(topic)
        if self.refused and topic.endswith(self.refused):
            raise REFUSED
        return super().ensure_table_topic(topic, partitions)


def test_a_topic_that_is_refused_leaves_the_other_tables_alone_and_is_asked_for_again() -> None:
    """One hub whose topic Kafka would not make ended the process at each start, and with it every hub of the server."""
    bench = RefusingBench(_hub("good"), _hub("bad"), refused=".bad")
    bench.look()
    assert bench.wanted() == {GOOD}
    synced = bench.status["bad"]["Synced"]
    assert (synced.status, synced.reason, synced.message) == (False, "TopicRefused", str(REFUSED))
    assert bench.synced("good") == "Snapshotting"
    assert bench.keeper.state.tables.keys() == {GOOD}
    bench.look()
    assert len(bench.asked) == 2, "not in every round"
    assert bench.synced("bad") == "TopicRefused"
    bench.clock.now_s += 20
    bench.look()
    assert len(bench.asked) == 3
    bench.refused = ""
    bench.clock.now_s += 20
    bench.look()
    assert bench.wanted() == {GOOD, BAD}
    assert bench.synced("bad") == "Snapshotting"


def _of(bench: Bench) -> TableState:
    return bench.keeper.state.tables[BAD]


def test_a_table_whose_topic_is_gone_and_refused_is_remembered_and_published_anew_once_it_is_allowed() -> None:
    before = RefusingBench(_hub("good"), _hub("bad"), refused="")
    before.look()
    _all_done(before)
    bench = RefusingBench(_hub("good"), _hub("bad"), refused=".bad")
    bench.keeper.change(lambda _state: before.keeper.state)
    bench.look()
    assert (bench.wanted(), bench.synced("bad")) == ({GOOD}, "TopicRefused")
    assert (_of(bench).publish, _of(bench).deletes) == (Publish.DIFF, True), "its changes are not followed meanwhile"
    assert bench.keeper.state.tables[GOOD].publish is Publish.DONE
    bench.refused, bench.topic_id = "", "two"
    bench.clock.now_s += 20
    bench.look()
    assert bench.wanted() == {GOOD, BAD}
    assert (_of(bench).publish, _of(bench).reason) == (Publish.RUNNING, "topic was made anew")


def test_a_server_none_of_whose_tables_has_a_topic_says_so_and_streams_nothing() -> None:
    bench = RefusingBench(_hub("bad"), refused=".bad")
    before = replace(bench.keeper.state)
    bench.look()
    assert (bench.wanted(), bench.synced("bad")) == (set(), "TopicRefused")
    assert bench.keeper.state == before
