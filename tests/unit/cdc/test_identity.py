"""Is it still the server and the log? Every row of the table of answers, for servers with and without GTIDs."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc.core.identity import Answer, FileFacts, Known, ServerFacts, decide, is_still_followed
from shared.model.position import Flavour, MariadbGtids, MysqlGtids, Position

U = "19d69c1e-ae97-4b8c-a1ef-9e12ba966457"
V = "1c2aad49-ae92-409a-b4df-d05a03e4702e"


def mysql(executed: str, purged: str = "", uuid: str = "one", file: str = "binlog.000005") -> ServerFacts:
    """A server with GTIDs whose log ends at byte 999 of `file`, with the floor's file."""
    sets = MysqlGtids.parse(executed), MysqlGtids.parse(purged)
    return ServerFacts(Flavour.MYSQL, uuid, *sets, file, 999, floor_file=FileFacts(70, 500))


def mariadb(executed: str, streams: dict[tuple[int, int], int], purged: str = "", uuid: str = "one") -> ServerFacts:
    """A MariaDB whose log ends at byte 999 of its fifth file, with the floor's file."""
    sets, floor = (MariadbGtids.parse(executed), MariadbGtids.parse(purged)), FileFacts(70, 500)
    return ServerFacts(Flavour.MARIADB, uuid, *sets, "binlog.000005", 999, streams=streams, floor_file=floor)


def known(gtids: str, uuid: str = "one", file: str = "binlog.000004", created_s: int = 70) -> Known:
    """A floor at bytes 100 to 200 of `file`."""
    sets = MariadbGtids.parse(gtids) if "-" in gtids.split(":", maxsplit=1)[0][:3] else MysqlGtids.parse(gtids)
    return Known(uuid, Position(sets, file, 100, 200), created_s, started_s=50)


GO_ON, FAIL_OVER, ANEW, STOP = Answer.GO_ON, Answer.FAIL_OVER, Answer.BEGIN_ANEW, Answer.STOP


@pytest.mark.parametrize(
    ("before", "facts", "answer", "reason"),
    [
        (known(f"{U}:1-5"), mysql(f"{U}:1-9", f"{U}:1-3"), GO_ON, ""),
        (known(f"{U}:1-5:tag:1-4"), mysql(f"{U}:1-9:tag:1-4", f"{U}:1-3:tag:1-4"), GO_ON, ""),
        (known(f"{U}:1-5"), mysql(f"{U}:1-9", uuid="two"), FAIL_OVER, "failed over"),
        (known(f"{U}:1-5"), mysql(f"{U}:1-9,{V}:1-2", f"{U}:1-5", uuid="two"), FAIL_OVER, "failed over"),
        (known(f"{U}:1-5"), mysql(f"{U}:1-4"), ANEW, "lost its tail"),
        (known(f"{U}:1-5"), mysql(""), ANEW, "reset"),
        (known(f"{U}:1-5", file="binlog.000009"), mysql(f"{U}:1-9"), ANEW, "numbered anew"),
        (known(f"{U}:1-5"), replace(mysql(f"{U}:1-9"), floor_file=FileFacts(71, 500)), ANEW, "reset"),
        (known(f"{U}:1-5"), replace(mysql(f"{U}:1-9"), floor_file=None), ANEW, "no log file of the position"),
        (known(f"{U}:1-5", file="binlog.000000"), replace(mysql(f"{U}:1-9"), floor_file=None), GO_ON, ""),
        (known(f"{U}:1-5"), mysql(f"{U}:1-9", f"{U}:1-6"), ANEW, "purged"),
        (known(f"{U}:1-5"), mysql(f"{U}:1-9", f"{U}:1-6", uuid="two"), ANEW, "purged"),
        (known(f"{U}:1-5"), mysql(f"{U}:1-9:tag:1-4", f"{U}:1-3:tag:1-4"), ANEW, "purged"),
        (known(f"{U}:1-5"), mysql(f"{U}:1-4", uuid="two"), ANEW, "lags behind"),
        (known(f"{U}:1-5"), mysql(f"{V}:1-9", f"{V}:1-3", uuid="two"), STOP, "another one (two)"),
        (known(f"{U}:1-5"), mysql("", uuid="two"), STOP, "another one (two)"),
        (known(f"{U}:1-5"), mariadb("0-1-9", {(0, 1): 9}, uuid="two"), STOP, "another one (two)"),
        (known("0-1-5"), mariadb("0-1-9", {(0, 1): 9}, "0-1-3"), GO_ON, ""),
        (known("0-1-5,1-1-2"), mariadb("0-1-9", {(0, 1): 9}), ANEW, "lost its tail"),
        (known("0-1-5"), mariadb("0-2-9", {(0, 1): 5, (0, 2): 9}, uuid="two"), FAIL_OVER, "failed over"),
        (known("0-1-5"), mariadb("0-2-9", {(0, 1): 4, (0, 2): 9}, uuid="two"), ANEW, "lags behind"),
        (known("0-1-5"), mariadb("0-2-9", {(0, 2): 9}, uuid="two"), STOP, "another one (two)"),
        (known("0-1-5"), replace(mariadb("0-1-9", {(0, 1): 9}), floor_file=FileFacts(71, 500)), ANEW, "reset"),
        (known("0-1-5"), mariadb("0-1-9", {(0, 1): 9}, "0-1-6"), ANEW, "purged"),
    ],
)
def test_servers_with_gtids(before: Known, facts: ServerFacts, answer: Answer, reason: str) -> None:
    start = decide(before, facts)
    assert start.answer is answer
    assert reason in start.reason
    assert bool(reason) is bool(start.reason)


WITHOUT = replace(mysql(""), has_gtid=False, floor_file=FileFacts(70, 500))


@pytest.mark.parametrize(
    ("facts", "answer", "reason"),
    [
        (WITHOUT, GO_ON, ""),
        (replace(WITHOUT, floor_file=None), ANEW, "purged the log file"),
        (replace(WITHOUT, floor_file=FileFacts(71, 500)), ANEW, "reset"),
        (replace(WITHOUT, floor_file=FileFacts(70, 199)), ANEW, "lost its tail"),
        (replace(WITHOUT, uuid="two"), ANEW, "no GTIDs to compare"),
        (replace(WITHOUT, purged=MysqlGtids.parse(f"{U}:1-9")), GO_ON, ""),
        (mysql(f"{U}:1-9"), ANEW, "GTIDs were switched on"),
    ],
)
def test_servers_without_gtids(facts: ServerFacts, answer: Answer, reason: str) -> None:
    before = Known("one", Position(MysqlGtids(), "binlog.000004", 100, 200, by_file=True), 70)
    start = decide(before, facts)
    assert start.answer is answer
    assert reason in start.reason
    if answer is ANEW and not facts.has_gtid:
        end = Position(MysqlGtids(), "binlog.000005", 0, 999, by_file=True)
        assert start.position == end, "there is no set: the end of the log it is"


def test_gtids_that_were_switched_off_begin_a_log_without_them() -> None:
    start = decide(known(f"{U}:1-5"), replace(mysql(f"{U}:1-9"), has_gtid=False))
    assert (start.answer, start.reason, start.deletes) == (ANEW, "GTIDs were switched off", True)
    assert start.position == Position(MysqlGtids(), "binlog.000005", 0, 999, by_file=True)


def test_a_log_whose_first_gtid_is_still_to_come_is_followed_by_its_file() -> None:
    before = Known("one", Position(MysqlGtids(), "binlog.000004", 0, 157), 70)
    assert decide(before, mysql(f"{U}:1-9")).answer is GO_ON


def test_an_offset_that_the_protocol_cannot_name_begins_anew() -> None:
    before = Known("one", Position(MysqlGtids(), "binlog.000004", 100, 2**32, by_file=True), 70)
    start = decide(before, replace(WITHOUT, floor_file=FileFacts(70, 2**33)))
    assert (start.answer, "behind 4 GiB" in start.reason) == (ANEW, True)


def test_a_position_by_file_gathers_no_gtids() -> None:
    position = Position(MysqlGtids(), "binlog.000004", 100, 200, by_file=True)
    assert position.passed(f"{U}:7", "binlog.000004", 300, 400) == Position(
        MysqlGtids(), "binlog.000004", 300, 400, by_file=True
    )


def test_a_new_incarnation_begins_below_all_that_is_still_to_come() -> None:
    assert decide(Known("", None), mysql(f"{U}:1-9")).position == Position(
        MysqlGtids.parse(f"{U}:1-9"), "binlog.000005", 0, 0
    )
    fresh = decide(Known("", None), mariadb("0-1-9", {(0, 1): 9}))
    assert (fresh.answer, fresh.deletes) == (ANEW, True), "the state may be lost, and its topics not"
    assert (fresh.position.offset, fresh.position.end) == (0, 0), "its set may end before the end of the log"


def test_a_failover_goes_on_behind_the_floor_below_every_file_of_the_new_server() -> None:
    start = decide(known(f"{U}:1-5"), mysql(f"{U}:1-9", uuid="two", file="other.000002"))
    assert start.position == Position(MysqlGtids.parse(f"{U}:1-5"), "other.000000", 0, 0)


def test_a_restart_has_the_tables_read_and_the_log_followed() -> None:
    facts = replace(mysql(f"{U}:1-9"), started_s=52)
    assert not decide(known(f"{U}:1-5"), facts).reads_tables, "the same start, told by another second"
    again = decide(known(f"{U}:1-5"), replace(facts, started_s=60))
    assert (again.answer, again.reason, again.reads_tables) == (GO_ON, "the server was restarted", True)
    assert not decide(replace(known(f"{U}:1-5"), started_s=0), facts).reads_tables


def test_rows_that_are_absent_are_deleted_where_the_database_is_the_same() -> None:
    assert decide(known(f"{U}:1-5"), mysql(f"{U}:1-4")).deletes
    assert not decide(known(f"{U}:1-5"), mysql(f"{U}:1-4", uuid="two")).deletes, "it may only lag behind"


def test_a_person_can_accept_another_database() -> None:
    facts = mysql(f"{V}:1-9", uuid="two")
    assert decide(known(f"{U}:1-5"), facts, {"three"}).answer is STOP
    start = decide(known(f"{U}:1-5"), facts, {"two"})
    assert (start.answer, start.deletes) == (ANEW, True)
    assert decide(known(f"{U}:1-5"), mysql(f"{U}:1-9", uuid="two"), {"two"}).answer is FAIL_OVER, "nothing to accept"


@given(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9), st.booleans(), st.booleans())
def test_a_log_is_followed_only_where_nothing_is_missing(
    passed: int, executed: int, purged: int, same: bool, is_mariadb: bool
) -> None:
    """Whatever the sets are: going on or failing over needs purged ≤ passed ≤ executed."""
    purged = min(purged, executed)
    texts = [f"0-1-{n}" if is_mariadb else f"{U}:1-{n}" for n in (passed, executed, purged)]
    sets = [text if n else "" for text, n in zip(texts, (passed, executed, purged), strict=True)]
    uuid = "one" if same else "two"
    facts = (
        mariadb(sets[1], {(0, 1): executed} if executed else {}, sets[2], uuid)
        if is_mariadb
        else mysql(sets[1], sets[2], uuid)
    )
    parse = MariadbGtids.parse if is_mariadb else MysqlGtids.parse
    start = decide(Known("one", Position(parse(sets[0]), "binlog.000004", 100, 0)), facts)
    if start.answer in (GO_ON, FAIL_OVER):
        assert purged <= passed <= executed
        assert (start.answer is GO_ON) is same
    else:
        assert start.position.gtids == parse(sets[1])


@pytest.mark.parametrize(
    ("facts", "reached", "answer"),
    [
        (mysql(f"{U}:1-9"), (5, 999), True),
        (mysql(f"{U}:1-4"), (5, 999), True),
        (replace(mysql(f"{U}:1-9"), floor_file=None), (5, 999), True),
        (mysql(f"{U}:1-9"), (5, 1000), False),
        (mysql(f"{U}:1-9"), (6, 4), False),
        (replace(mysql(f"{U}:1-9"), floor_file=FileFacts(71, 500)), (4, 300), False),
        (mysql(f"{U}:1-9", uuid="two"), (5, 999), False),
    ],
    ids=["nothing new", "not executed yet", "its file purged", "reset", "numbered anew", "same name", "other server"],
)
def test_a_silent_stream_learns_whether_its_log_is_still_the_one(
    facts: ServerFacts, reached: tuple[int, int], answer: bool
) -> None:
    assert is_still_followed(known(f"{U}:1-5"), facts, reached) is answer
