"""For whom a partition's rows were read: who has missed some is owed all of them, for a while."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.readers import AGAIN_S, PATIENCE_S, TRIES, Readers, marks

OLD, NEW = marks(["old"]), marks(["new"])


def test_forms_that_were_there_before_the_first_row_have_missed_nothing() -> None:
    readers = Readers()
    readers.passed(OLD | NEW)
    assert not readers.are_owed(OLD | NEW, 1e9)


def test_a_form_that_comes_after_a_row_is_owed_all_of_them_after_a_while() -> None:
    readers = Readers()
    readers.passed(OLD)
    assert not readers.are_owed(OLD | NEW, 0.0)
    assert not readers.are_owed(OLD | NEW, PATIENCE_S - 0.1)
    assert readers.are_owed(OLD | NEW, PATIENCE_S)


def test_the_control_record_of_a_form_makes_it_good() -> None:
    readers = Readers(OLD)
    assert not readers.are_owed(OLD | NEW, 0.0)
    readers.named(["hub", "new"], OLD | NEW)
    assert not readers.are_owed(OLD | NEW, PATIENCE_S)
    assert readers.known == OLD | NEW


def test_a_control_record_says_nothing_for_a_form_that_is_not_known_here() -> None:
    readers = Readers(OLD)
    readers.named(["new"], OLD)
    readers.are_owed(OLD | NEW, 0.0)
    assert readers.are_owed(OLD | NEW, PATIENCE_S)


def test_a_row_that_a_form_does_not_get_is_missed_by_it() -> None:
    readers = Readers(OLD | NEW)
    readers.passed(OLD)
    assert readers.known == OLD


def test_what_is_asked_for_and_never_comes_is_asked_for_a_few_times() -> None:
    readers, now_s, asked = Readers(OLD), 0.0, 0
    for _ in range(1000):
        if readers.are_owed(OLD | NEW, now_s):
            readers.asked(now_s)
            asked += 1
        now_s += AGAIN_S / 4
    assert asked == TRIES


@given(st.lists(st.sets(st.sampled_from("abc")), min_size=1), st.sets(st.sampled_from("abc")))
def test_a_form_is_owed_nothing_only_if_it_got_every_row(rows: list[set[str]], present: set[str]) -> None:
    readers = Readers()
    for names in rows:
        readers.passed(marks(names))
    readers.are_owed(marks(present), 0.0)
    assert readers.are_owed(marks(present), PATIENCE_S) == any(not present <= names for names in rows)
