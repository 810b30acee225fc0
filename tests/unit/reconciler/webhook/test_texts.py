"""Texts that fit what carries them: one bounded message, warnings that no API server cuts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reconciler.webhook.texts import denial, warnings_of


def test_a_warning_stays_one_line() -> None:
    text = "resource front: " + "selector matches nothing " * 8
    assert warnings_of([text]) == [text.strip()]


def test_two_warnings_with_the_same_ending_keep_it() -> None:
    texts = [f"resource {name} renders the same object for every row (put the uid into its name)" for name in "ab"]
    assert warnings_of(texts) == texts


def test_an_endless_warning_is_cut_between_words_with_a_mark() -> None:
    (line,) = warnings_of(["word " * 1000])
    assert line.endswith(" word ...")
    assert len(line) <= 240
    (line,) = warnings_of(["x" * 1000])
    assert line == "x" * 236 + " ..."


def test_a_warning_is_told_once() -> None:
    assert warnings_of(["same", "same", "other"]) == ["same", "other"]


def test_too_many_warnings_are_counted() -> None:
    lines = warnings_of(
        [f"warning number {i} of a form that has many of them, each a little different" for i in range(500)]
    )
    assert lines[0].startswith("warning number 0 ")
    assert lines[-1] == f"and {500 - (len(lines) - 1)} more warnings"


def test_too_many_errors_are_counted() -> None:
    message, causes = denial("LynqForm a/b", [("spec", f"error {i}") for i in range(31)])
    assert message.startswith("LynqForm a/b has 31 errors:\n- error 0\n")
    assert message.endswith("\n- error 29\n- and 1 more")
    assert len(causes) == 31
    assert causes[-1]["message"] == "and 1 more"


def test_a_cause_without_a_place_names_the_spec() -> None:
    assert denial("LynqForm a/b", [("", "one"), ("spec.x", "two")])[1] == [
        {"reason": "FieldValueInvalid", "message": "one", "field": "spec"},
        {"reason": "FieldValueInvalid", "message": "two", "field": "spec.x"},
    ]


def test_a_text_that_names_its_object_is_not_given_it_twice() -> None:
    assert denial("LynqForm a/b", [("", "LynqForm a/b: spec.hubId: Field required")])[0].count("LynqForm") == 1


@given(texts=st.lists(st.text(max_size=300), max_size=60))
def test_warnings_always_fit_the_header(texts: list[str]) -> None:
    lines = warnings_of(texts)
    assert all(len(line) <= 240 for line in lines)
    assert sum(len(line.encode()) for line in lines) <= 4096
    assert all(char.isprintable() for line in lines for char in line)


@given(errors=st.lists(st.tuples(st.text(max_size=40), st.text(max_size=2000)), min_size=1, max_size=100))
def test_a_message_is_bounded_and_each_error_a_line(errors: list[tuple[str, str]]) -> None:
    message, causes = denial("LynqForm a/b", errors)
    assert len(message) <= 32 * 620
    assert len(message.splitlines()) <= 32
    assert len(causes) == min(len(errors), 31)
