"""The control thread: one hub's trouble stays its own, and what was not captured is read anew."""

from __future__ import annotations

# stand-ins keep the signatures of their ports; the assignment is looked at directly
from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest

from cdc.control import Control, ControlParts
from cdc.core.advice import Fitness, versioned, view
from cdc.core.conditions import Facts, Report, Verdict
from cdc.keeper import Keeper
from cdc.live import Live
from cdc.ports import Login, TopicFacts
from shared.errors import SourceError, SourceRefused, SourceUnfit, SourceUnreachable
from shared.model.api import parse_object
from shared.model.form import Form
from shared.model.hub import Hub
from shared.model.position import CaptureState, Flavour, Mode, Publish, TableId
from tests.unit.cdc.fakes import ManualClock, MemoryKeys, MemoryStore, position

GOOD, BAD = TableId("shop", "good"), TableId("shop", "bad")


def _hub(table: str, generation: int = 1, wish: str = "", partitions: int | None = None) -> Hub:
    mysql = {"host": "db", "port": 3306, "username": "u", "database": "shop", "table": table}
    return parse_object(
        Hub,
        {
            "kind": "LynqHub",
            "metadata": {
                "name": table,
                "namespace": "ns",
                "uid": f"uid-{table}",
                "generation": generation,
                "annotations": {"lynq.sh/resync-requested": wish} if wish else {},
            },
            "spec": {
                "source": {"type": "mysql", "mysql": mysql},
                "valueMappings": {"uid": "id", "activate": "active"},
                "capture": {"partitions": partitions} if partitions else None,
            },
        },
    )


class Bench:
    """A control thread on stand-ins; `look` is one round of its loop."""

    def __init__(self, *hubs: Hub) -> None:
        self.cluster = list(hubs)
        self.trouble: dict[TableId, SourceError] = {}
        self.secrets: dict[str, str] = {}
        self.on_preflight: Callable[[TableId], None] = lambda _table: None
        self.status: dict[str, dict[str, Verdict]] = {}
        self.facts: dict[str, Facts] = {}
        self.fitness: dict[TableId, Fitness] = {}
        self.partitions = 8
        self.asked_partitions: list[int] = []
        self.topic_id = "one"
        self.held: dict[str, int] = {}
        """Hub → the highest incarnation of its LynqNodes' rows."""
        self.clock = ManualClock()
        self.store = MemoryStore()
        self.live = Live()
        self.keeper = Keeper(self.store, CaptureState(1, "n"), self.clock)
        self.control = Control(
            ControlParts(
                server="db:3306",
                topic_prefix="p",
                hubs=self,
                logins=self,
                preflight=self._preflight,
                topics=self,
                topic_keys=MemoryKeys(),
                nodes_incarnation=lambda hubs: max((self.held.get(hub.metadata.name, 0) for hub in hubs), default=0),
                keeper=self.keeper,
                live=self.live,
                clock=self.clock,
                on_publish=lambda: None,
            )
        )

    def hubs(self, server: str = "") -> list[Hub]:
        """As set."""
        return [hub for hub in self.cluster if hub.server_id == server]

    def forms(self) -> list[Form]:
        """None."""
        return []

    def login(self, hub: Hub) -> Login:
        """Always the same."""
        assert hub.spec.source.mysql is not None
        return Login("db", 3306, hub.spec.source.mysql.username, f"of-{hub.metadata.name}")

    def secrets_version(self, hub: Hub) -> str:
        """As set."""
        return self.secrets.get(hub.metadata.name, "1")

    def report(self, hub: Hub, report: Report) -> None:
        """Remember."""
        self.status[hub.metadata.name] = {verdict.type: verdict for verdict in report.verdicts}
        self.facts[hub.metadata.name] = report.facts
        if hub == self.cluster[-1]:
            self.live.stop()
            self.control.stop()

    def ensure_table_topic(self, topic: str, partitions: int) -> TopicFacts:
        """As set."""
        self.asked_partitions.append(partitions)
        return TopicFacts(self.partitions if topic else 0, self.topic_id, 604_800.0)

    def _preflight(self, login: Login, table: TableId, uid_column: str, columns: Iterable[str]) -> Fitness:
        self.on_preflight(table)
        if table in self.trouble:
            raise self.trouble[table]
        return self.fitness.get(table, Fitness(Flavour.MYSQL))

    def look(self) -> None:
        """One round."""
        self.live._is_stopped = False
        self.control.run()

    def synced(self, hub: str) -> str:
        """Reason of its Synced condition."""
        return self.status[hub]["Synced"].reason

    def wanted(self) -> set[TableId]:
        """Tables of the assignment."""
        assignment = self.live._wanted
        return set() if assignment is None else set(assignment.tables)


def test_one_hub_in_trouble_leaves_the_other_alone() -> None:
    bench = Bench(_hub("good"), _hub("bad"))
    bench.trouble[BAD] = SourceRefused("no such table", reason="TableMissing")
    bench.look()
    assert bench.wanted() == {GOOD}
    assert (bench.synced("good"), bench.synced("bad")) == ("Snapshotting", "TableMissing")
    bench.trouble.clear()
    bench.clock.now_s += 60
    bench.look()
    assert bench.wanted() == {GOOD, BAD}


def test_a_table_that_was_left_out_is_read_anew() -> None:
    bench = Bench(_hub("good"), _hub("bad"))
    bench.look()
    bench.keeper.change(
        lambda state: replace(
            state, tables={table: replace(known, publish=Publish.DONE) for table, known in state.tables.items()}
        )
    )
    bench.trouble[BAD] = SourceRefused("no such column", reason="ColumnMissing")
    bench.control.on_republish()
    bench.look()
    table = bench.keeper.state.tables[BAD]
    assert (table.publish, table.deletes) == (Publish.DIFF, True)
    assert bench.keeper.state.tables[GOOD].publish is Publish.DONE


def test_a_server_that_is_away_changes_no_assignment() -> None:
    bench = Bench(_hub("good"))
    bench.look()
    bench.control.on_stream(None)
    lost = SourceUnreachable("away")
    bench.trouble[GOOD] = lost
    bench.control.on_stream(lost)
    bench.look()
    assert bench.wanted() == {GOOD}
    assert bench.status["good"]["Ready"].reason == "DatabaseConnectionFailed"
    bench.trouble.clear()
    bench.control.on_stream(None)
    bench.clock.now_s += 60
    bench.look()
    assert bench.status["good"]["Ready"].status


def test_a_topic_with_another_partition_count_stops_its_hubs() -> None:
    bench = Bench(_hub("good"))
    bench.look()
    again = Bench(_hub("good"))
    again.keeper.change(lambda _state: bench.keeper.state)
    again.partitions = 4
    again.look()
    assert again.wanted() == set()
    assert "has 4 partitions, capture wrote 8" in again.status["good"]["Synced"].message


def test_the_oldest_hub_s_wish_makes_the_topic_and_another_wish_is_told() -> None:
    bench = Bench(_hub("good", partitions=16))
    bench.look()
    assert bench.asked_partitions == [16]
    bench.control.on_stream(None)
    bench.look()
    assert bench.status["good"]["Synced"].reason == "PartitionsDiffer"
    assert "asks for 16 partitions, its table's topic was made with 8" in bench.status["good"]["Synced"].message
    assert bench.wanted() == {GOOD}, "it is streamed all the same"


def test_no_hub_that_can_be_served_means_nothing_to_stream() -> None:
    bench = Bench(_hub("good"))
    bench.look()
    bench.trouble[GOOD] = SourceRefused("gone", reason="TableMissing")
    bench.control.on_republish()
    bench.look()
    assert bench.wanted() == set()
    assert bench.keeper.state.tables.keys() == {GOOD}, "the floor stays where it is, so nothing of the table is missed"


def _all_done(bench: Bench) -> None:
    bench.keeper.change(
        lambda state: replace(
            state, tables={table: replace(known, publish=Publish.DONE) for table, known in state.tables.items()}
        )
    )


UNFIT = Fitness(Flavour.MYSQL, SourceUnfit("binlog_format is MIXED", mend="SET GLOBAL binlog_format = 'ROW';"))


def test_a_server_whose_log_is_unfit_is_polled_and_says_what_mends_it() -> None:
    bench = Bench(_hub("good"))
    bench.fitness[GOOD] = UNFIT
    bench.look()
    assert bench.wanted() == set()
    assert bench.live._polled.keys() == {GOOD}
    state = bench.keeper.state
    assert (state.tables[GOOD].mode, state.incarnation) == (Mode.POLL, 1)
    _all_done(bench)
    bench.look()
    synced = bench.status["good"]["Synced"]
    assert (synced.status, synced.reason) == (True, "Polling")
    assert "SET GLOBAL binlog_format = 'ROW';" in synced.message
    assert bench.facts["good"].mode == "Polling"


def test_a_change_of_mode_begins_the_log_anew_in_another_incarnation() -> None:
    bench = Bench(_hub("good"))
    bench.look()
    _all_done(bench)
    streamed = bench.keeper.state
    bench.fitness[GOOD] = UNFIT
    bench.control.on_republish()
    bench.look()
    polled = bench.keeper.state
    assert (polled.tables[GOOD].mode, polled.tables[GOOD].publish) == (Mode.POLL, Publish.DIFF)
    assert polled.incarnation == streamed.incarnation + 1
    assert polled.anew
    bench.fitness.clear()
    bench.clock.now_s += 60
    bench.look()
    again = bench.keeper.state
    assert (again.tables[GOOD].mode, again.incarnation) == (Mode.STREAM, polled.incarnation + 1)
    assert again.anew
    assert bench.wanted() == {GOOD}


def test_a_view_is_polled_beside_a_table_that_is_streamed() -> None:
    bench = Bench(_hub("good"), _hub("bad"))
    bench.fitness[BAD] = Fitness(Flavour.MYSQL, view(BAD), is_poll_only=True)
    bench.look()
    assert (bench.wanted(), set(bench.live._polled)) == ({GOOD}, {BAD})


def test_a_table_that_becomes_versioned_while_it_is_streamed_is_polled() -> None:
    """Its history was streamed as rows of now: updates were lost, and a DELETE HISTORY deleted a row that was there."""
    bench = Bench(_hub("good"), _hub("bad"))
    bench.look()
    assert bench.wanted() == {GOOD, BAD}
    _all_done(bench)
    streamed = bench.keeper.state
    bench.fitness[BAD] = Fitness(Flavour.MARIADB, versioned(BAD), is_poll_only=True)
    bench.control.on_republish()  # as the ALTER in the log does
    bench.look()
    assert (bench.wanted(), set(bench.live._polled)) == ({GOOD}, {BAD})
    state = bench.keeper.state
    assert (state.tables[BAD].mode, state.tables[BAD].publish) == (Mode.POLL, Publish.DIFF)
    assert state.incarnation == streamed.incarnation + 1
    _all_done(bench)
    bench.look()
    synced = bench.status["bad"]["Synced"]
    assert (synced.status, synced.reason) == (True, "Polling")
    assert "DROP SYSTEM VERSIONING;" in synced.message
    bench.fitness.clear()
    bench.clock.now_s += 60
    bench.look()
    assert bench.wanted() == {GOOD, BAD}


@pytest.mark.parametrize(("held", "incarnation"), [(0, 1), (1, 2), (3, 4)])
def test_a_hub_that_comes_from_another_server_is_told_rows_that_its_nodes_take(held: int, incarnation: int) -> None:
    """Its LynqNodes held rows of a later incarnation of that server, and every row of this one was dropped as old."""
    bench = Bench(_hub("good"))
    bench.look()
    _all_done(bench)
    bench.keeper.change(lambda state: replace(state, floor=position(5), incarnation=1))
    bench.held = {"good": 1, "bad": held}
    bench.look()
    assert bench.keeper.state.incarnation == 1, "a hub that has been here all the time"
    bench.cluster.append(_hub("bad"))
    bench.look()
    state = bench.keeper.state
    assert (state.incarnation, state.tables[BAD].publish) == (incarnation, Publish.RUNNING)
    _all_done(bench)
    bench.look()
    assert bench.keeper.state.incarnation == incarnation


def test_nodes_of_a_hub_that_cannot_join_are_not_asked_for() -> None:
    """They were listed in every round, and brought the other hubs a new incarnation that nobody needed."""
    bench = Bench(_hub("good"))
    bench.look()
    _all_done(bench)
    bench.keeper.change(lambda state: replace(state, floor=position(5), incarnation=1))
    bench.held, bench.trouble[BAD] = {"bad": 7}, SourceRefused("table shop.bad does not exist")
    bench.cluster.append(_hub("bad"))
    bench.look()
    assert (bench.keeper.state.incarnation, bench.wanted()) == (1, {GOOD})


def test_one_login_that_may_stream_is_enough() -> None:
    bench = Bench(_hub("good"), _hub("bad"))
    bench.fitness[GOOD] = Fitness(Flavour.MYSQL, SourceRefused("user u lacks REPLICATION SLAVE"))
    bench.look()
    assert bench.wanted() == {GOOD, BAD}


def test_a_request_is_answered() -> None:
    bench = Bench(_hub("good"))
    bench.look()
    _all_done(bench)
    bench.cluster = [_hub("good", wish="diff/7")]
    bench.look()
    assert bench.keeper.state.tables[GOOD].publish is Publish.DIFF
    assert (bench.facts["good"].resync, bench.facts["good"].resync_phase) == ("diff/7", "Running")
    _all_done(bench)
    bench.look()
    assert bench.facts["good"].resync_phase == "Done"
    bench.cluster = [_hub("good", wish="full/8")]
    bench.look()
    assert bench.keeper.state.tables[GOOD].publish is Publish.RUNNING


def test_a_topic_that_was_made_anew_gets_all_rows() -> None:
    bench = Bench(_hub("good"))
    bench.look()
    _all_done(bench)
    again = Bench(_hub("good"))
    again.keeper.change(lambda _state: bench.keeper.state)
    again.topic_id = "two"
    again.look()
    table = again.keeper.state.tables[GOOD]
    assert (table.publish, table.reason) == (Publish.RUNNING, "topic was made anew")


def test_dead_rows_are_told_until_they_are_good_again() -> None:
    bench = Bench(_hub("good"))
    bench.look()
    _all_done(bench)
    bench.control.on_stream(None)
    topic = bench.keeper.state.tables[GOOD].topic
    bench.control.on_dead(topic, 2, "row b: too large")
    bench.look()
    synced = bench.status["good"]["Synced"]
    assert (synced.status, synced.reason) == (False, "DeadLetters")
    assert synced.message.startswith("2 rows of shop.good could not be published, the last: row b: too large.")
    bench.control.on_dead(topic, 0, "")
    bench.look()
    assert bench.synced("good") == "Streaming"


REFUSED = SourceRefused("refused user u (1045)", reason="DatabaseRefused")


def test_a_refused_account_is_tried_again_at_once_when_its_secret_changes() -> None:
    bench = Bench(_hub("good"))
    bench.trouble[GOOD] = REFUSED
    bench.look()
    assert bench.synced("good") == "DatabaseRefused"
    bench.trouble.clear()
    bench.look()
    assert bench.synced("good") == "DatabaseRefused", "not before its time"
    bench.secrets["good"] = "2"
    bench.look()
    assert bench.wanted() == {GOOD}


def test_an_account_that_is_refused_for_a_read_is_told_and_its_stream_goes_on_until_it_breaks() -> None:
    bench = Bench(_hub("good"))
    bench.look()
    _all_done(bench)
    bench.control.on_stream(None)
    bench.trouble[GOOD] = REFUSED
    bench.control.on_table(GOOD, REFUSED)
    bench.look()
    assert (bench.synced("good"), bench.wanted()) == ("DatabaseRefused", {GOOD})
    assert bench.keeper.state.tables[GOOD].publish is Publish.DONE, "no change was missed"
    bench.control.on_stream(SourceUnreachable("lost"))
    bench.control.on_stream(REFUSED)
    bench.look()
    assert bench.wanted() == set()


def test_a_server_that_is_away_is_told_without_asking_it() -> None:
    bench = Bench(_hub("good"))
    bench.look()
    bench.trouble[GOOD] = SourceUnreachable("asked")
    bench.control.on_stream(SourceUnreachable("sent nothing for 10 s"))
    bench.look()
    assert bench.status["good"]["Synced"].message == "sent nothing for 10 s"


def test_hubs_wait_for_a_silent_server_one_after_the_other_and_are_all_told_at_once() -> None:
    """A hundred checks of ten seconds each kept the first condition away for as many rounds."""
    hubs = [_hub(name) for name in ("a", "b", "c")]
    bench = Bench(*hubs)
    asked: list[str] = []

    def ask(table: TableId) -> None:
        asked.append(table.table)
        if table.table != "b":
            bench.clock.now_s += 10
            raise SourceUnreachable("silent")

    bench.on_preflight = ask
    bench.look()
    assert asked == ["a"]
    assert [bench.status[hub.metadata.name]["Synced"].message for hub in hubs] == ["silent"] * 3
    bench.look()
    assert asked == ["a", "b", "c"], "each has its turn"
    assert bench.wanted() == {TableId("shop", "b")}
