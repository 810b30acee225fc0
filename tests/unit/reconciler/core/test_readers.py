"""For whom a partition's rows were read: who has missed some is owed all of them, for a while."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.readers import AGAIN_S, PATIENCE_S, TRIES, Present, Readers


def present(*uids: str, mapping: str = "m1") -> Present:
    return Present.of((uid, mapping) for uid in uids)


OLD, BOTH = present("old"), present("old", "new")


def test_forms_that_were_there_before_the_first_row_have_missed_nothing() -> None:
    readers = Readers()
    readers.passed(BOTH)
    assert readers.owed_since_s(BOTH, 1e9) is None


def test_a_form_that_comes_after_a_row_is_owed_all_of_them_after_a_while() -> None:
    readers = Readers()
    readers.passed(OLD)
    assert readers.owed_since_s(BOTH, 0.0) is None
    assert readers.owed_since_s(BOTH, PATIENCE_S - 0.1) is None
    assert readers.owed_since_s(BOTH, PATIENCE_S) == 0.0


def test_the_control_record_of_a_form_makes_it_good() -> None:
    readers = Readers(OLD.marks)
    assert readers.owed_since_s(BOTH, 0.0) is None
    readers.named(["hub", "new"], BOTH)
    assert readers.owed_since_s(BOTH, PATIENCE_S) is None
    assert readers.known == BOTH.marks


def test_a_control_record_says_nothing_for_a_form_that_is_not_known_here() -> None:
    readers = Readers(OLD.marks)
    readers.named(["new"], OLD)
    readers.owed_since_s(BOTH, 0.0)
    assert readers.owed_since_s(BOTH, PATIENCE_S) == 0.0


def test_a_row_that_a_form_does_not_get_is_missed_by_it() -> None:
    readers = Readers(BOTH.marks)
    readers.passed(OLD)
    assert readers.known == OLD.marks


def test_a_form_whose_rows_were_mapped_otherwise_is_owed_all_of_them() -> None:
    """Its member heard of the hub's change behind the rows that were published because of it: old values stayed."""
    readers, changed = Readers(), present("old", mapping="m2")
    readers.passed(OLD)
    readers.named(["old"], OLD)  # the control record of the change
    readers.passed(OLD)
    assert readers.owed_since_s(changed, 0.0) is None
    assert readers.owed_since_s(changed, PATIENCE_S) == 0.0


def test_another_mapping_meanwhile_is_a_miss_of_its_own() -> None:
    """All rows were asked for, and came for a mapping that was over: the next try was two minutes away."""
    readers = Readers(OLD.marks)
    readers.owed_since_s(present("old", mapping="m2"), 0.0)
    readers.asked(PATIENCE_S)
    after = present("old", mapping="m3")
    assert readers.owed_since_s(after, PATIENCE_S + 1) is None
    assert readers.owed_since_s(after, 2 * PATIENCE_S + 1) == PATIENCE_S + 1


def test_a_form_whose_member_heard_of_the_mapping_first_is_owed_nothing() -> None:
    readers, changed = Readers(OLD.marks), present("old", mapping="m2")
    assert readers.owed_since_s(changed, 0.0) is None
    readers.passed(changed)
    readers.named(["old"], changed)
    assert readers.owed_since_s(changed, PATIENCE_S) is None


def test_what_is_asked_for_and_never_comes_is_asked_for_a_few_times() -> None:
    readers, now_s, asked = Readers(OLD.marks), 0.0, 0
    for _ in range(1000):
        if readers.owed_since_s(BOTH, now_s) is not None:
            readers.asked(now_s)
            asked += 1
        now_s += AGAIN_S / 4
    assert asked == TRIES


def test_a_form_that_capture_never_names_is_not_asked_for_again_because_others_come() -> None:
    """Its hub was refused; each new form or mapping of the same table had all rows published three times more."""
    readers, now_s, asked = Readers(OLD.marks), 0.0, 0
    refused, more = present("old", "refused"), present("old", "refused", "more")
    for turn in range(400):
        if turn == 200:
            readers.owed_since_s(more, now_s)
            readers.named(["more"], more)
        if readers.owed_since_s(refused if turn < 200 else more, now_s) is not None:
            readers.asked(now_s)
            asked += 1
        now_s += AGAIN_S / 4
    assert asked == TRIES


def test_a_miss_is_not_delayed_by_forms_that_come_and_are_named() -> None:
    readers, names = Readers(OLD.marks), ["old", "missed"]
    for number in range(5):
        names = [*names, f"new-{number}"]
        now = present(*names)
        assert readers.owed_since_s(now, number * PATIENCE_S / 5) is None
        readers.named([f"new-{number}"], now)
    assert readers.owed_since_s(present(*names), PATIENCE_S) == 0.0


@given(st.lists(st.sets(st.sampled_from("abc")), min_size=1), st.sets(st.sampled_from("abc")))
def test_a_form_is_owed_nothing_only_if_it_got_every_row(rows: list[set[str]], now: set[str]) -> None:
    readers = Readers()
    for names in rows:
        readers.passed(present(*names))
    readers.owed_since_s(present(*now), 0.0)
    assert (readers.owed_since_s(present(*now), PATIENCE_S) is not None) == any(not now <= names for names in rows)
