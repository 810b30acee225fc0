"""The control thread: one hub's trouble stays its own, and what was not captured is read anew."""

from __future__ import annotations

# stand-ins keep the signatures of their ports; the assignment is looked at directly
from collections.abc import Iterable
from dataclasses import replace

from cdc.control import Control, ControlParts
from cdc.core.conditions import Verdict
from cdc.keeper import Keeper
from cdc.live import Live
from cdc.ports import Login
from shared.errors import SourceError, SourceRefused, SourceUnreachable
from shared.model.api import parse_object
from shared.model.form import Form
from shared.model.hub import Hub
from shared.model.position import CaptureState, Publish, TableId
from tests.unit.cdc.fakes import ManualClock, MemoryKeys, MemoryStore

GOOD, BAD = TableId("shop", "good"), TableId("shop", "bad")


def _hub(table: str, generation: int = 1) -> Hub:
    mysql = {"host": "db", "port": 3306, "username": "u", "database": "shop", "table": table}
    return parse_object(
        Hub,
        {
            "kind": "LynqHub",
            "metadata": {"name": table, "namespace": "ns", "uid": f"uid-{table}", "generation": generation},
            "spec": {
                "source": {"type": "mysql", "mysql": mysql},
                "valueMappings": {"uid": "id", "activate": "active"},
            },
        },
    )


class Bench:
    """A control thread on stand-ins; `look` is one round of its loop."""

    def __init__(self, *hubs: Hub) -> None:
        self.cluster = list(hubs)
        self.trouble: dict[TableId, SourceError] = {}
        self.status: dict[str, dict[str, Verdict]] = {}
        self.partitions = 8
        self.clock = ManualClock()
        self.store = MemoryStore()
        self.live = Live()
        self.keeper = Keeper(self.store, CaptureState(1, "n"), self.clock)
        self.control = Control(
            ControlParts(
                server="db:3306",
                topic_prefix="p",
                hubs=self,
                preflight=self._preflight,
                topics=self,
                topic_keys=MemoryKeys(),
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

    def password(self, hub: Hub) -> str:
        """Always the same."""
        return f"of-{hub.metadata.name}"

    def report(self, hub: Hub, verdicts: Iterable[Verdict]) -> None:
        """Remember."""
        self.status[hub.metadata.name] = {verdict.type: verdict for verdict in verdicts}
        if hub == self.cluster[-1]:
            self.live.stop()
            self.control.stop()

    def ensure_table_topic(self, topic: str) -> int:
        """As set."""
        return self.partitions if topic else 0

    def _preflight(self, login: Login, table: TableId, uid_column: str, columns: Iterable[str]) -> None:
        if table in self.trouble:
            raise self.trouble[table]

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
    assert (table.publish, table.deletes) == (Publish.RUNNING, True)
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


def test_no_hub_that_can_be_served_means_nothing_to_stream() -> None:
    bench = Bench(_hub("good"))
    bench.look()
    bench.trouble[GOOD] = SourceRefused("gone", reason="TableMissing")
    bench.control.on_republish()
    bench.look()
    assert bench.wanted() == set()
    assert bench.keeper.state.tables.keys() == {GOOD}, "the floor stays where it is, so nothing of the table is missed"
