"""The version of a record: text and tuple say the same, in the same order."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.errors import InvalidError
from shared.model.version import KIND_CHANGE, KIND_READ, Version

numbers = st.tuples(
    st.integers(0, 10**6 - 1),
    st.integers(0, 10**8 - 1),
    st.integers(0, 2**64 - 1),
    st.sampled_from([KIND_CHANGE, KIND_READ]),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**32 - 1),
)
versions = numbers.map(lambda n: Version(*n))
near = st.integers(0, 12)
close_versions = st.builds(Version, near, near, near, st.integers(0, 1), near, near)


@given(versions)
def test_text_is_parsed_back(version: Version) -> None:
    assert Version.parse(version.text()) == version


@example((Version(1, 1, 10**19 - 1, 0, 0, 0), Version(1, 1, 2**64 - 1, 0, 0, 0)))
@example((Version(1, 1, 1, 0, 10**9 - 1, 0), Version(1, 1, 1, 0, 2**32 - 1, 0)))
@given(st.one_of(st.tuples(versions, versions), st.tuples(close_versions, close_versions)))
def test_order_of_texts_is_order_of_versions(pair: tuple[Version, Version]) -> None:
    one, other = pair
    assert (one < other) == (one.text() < other.text())
    assert (one == other) == (one.text() == other.text())


def test_unpadded_numbers_are_accepted() -> None:
    assert Version.parse("2.17.4.0.3.1") == Version(2, 17, 4, 0, 3, 1)


def test_a_read_is_newer_than_every_change_of_the_transaction_it_follows() -> None:
    change = Version(1, 5, 900, KIND_CHANGE, 2**32 - 1, 1)
    assert change < Version(1, 5, 900, KIND_READ, 1, 0) < Version(1, 5, 901, KIND_CHANGE, 0, 0)


@pytest.mark.parametrize(
    "text", ["", "1.2.3.0.1", "1.2.3.0.1.2.3", "1.2.-3.0.1.2", "1.2.x.0.1.2", "1.2.٣.0.1.2", "1.2. 3.0.1.2"]
)
def test_other_texts_are_refused_and_quoted(text: str) -> None:
    with pytest.raises(InvalidError, match=r"is not inc\.file\.off\.kind\.a\.b"):
        Version.parse(text)


def test_a_long_wrong_text_is_quoted_in_part() -> None:
    with pytest.raises(InvalidError) as caught:
        Version.parse("9" * 10_000)
    assert len(str(caught.value)) < 200
