"""Texts that fit what carries them: one bounded message, warnings that no API server cuts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reconciler.webhook.texts import denial, warnings_of


def test_a_long_warning_is_wrapped_at_words() -> None:
    text = "resource front: " + "selector matches nothing " * 8
    lines = warnings_of([text])
    assert len(lines) == 2
    assert " ".join(" ".join(lines).split()) == text.strip()


def test_an_endless_warning_is_cut_with_a_mark() -> None:
    lines = warnings_of(["word " * 1000])
    assert len(lines) == 3
    assert lines[-1].endswith(" ...")


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
    assert len(causes) == 30


def test_a_text_that_names_its_object_is_not_given_it_twice() -> None:
    assert denial("LynqForm a/b", [("", "LynqForm a/b: spec.hubId: Field required")])[0].count("LynqForm") == 1


@given(texts=st.lists(st.text(max_size=300), max_size=60))
def test_warnings_always_fit_the_header(texts: list[str]) -> None:
    lines = warnings_of(texts)
    assert all(len(line) <= 120 for line in lines)
    assert sum(len(line.encode()) for line in lines) <= 4096
    assert all(char.isprintable() for line in lines for char in line)


@given(errors=st.lists(st.tuples(st.text(max_size=40), st.text(max_size=2000)), min_size=1, max_size=100))
def test_a_message_is_bounded_and_each_error_a_line(errors: list[tuple[str, str]]) -> None:
    message, causes = denial("LynqForm a/b", errors)
    assert len(message) <= 32 * 620
    assert len(message.splitlines()) <= 32
    assert len(causes) == min(len(errors), 30)
