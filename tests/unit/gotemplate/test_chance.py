"""Functions of the clock and of chance: refused unless asked for, and then fed by what the caller hands in."""

import re
import uuid

import pytest

from shared.gotemplate import Sources, TemplateError, compile_template
from shared.gotemplate.funcs import FUNCTIONS, NONDETERMINISTIC, REFUSED


class Fixed:
    """A clock that stands still, and bytes that count up."""

    def __init__(self, now_s: float = 1_700_000_000.25) -> None:
        self._now_s = now_s

    def now_s(self) -> float:
        """14 November 2023, 22:13:20.25."""
        return self._now_s

    def random_bytes(self, count: int) -> bytes:
        """0, 1, 2, ..."""
        return bytes(place % 256 for place in range(count))


FIXED: Sources = Fixed()


def rendered(template: str, sources: Sources = FIXED) -> str:
    """The text of a template that may use chance."""
    return compile_template(template, nondeterministic=True).render({}, sources)


@pytest.mark.parametrize("name", sorted(NONDETERMINISTIC))
def test_without_the_switch_they_are_refused_with_a_way_out(name: str) -> None:
    with pytest.raises(TemplateError) as caught:
        compile_template(f"{{{{ if false }}}}{{{{ {name} }}}}{{{{ end }}}}")
    assert f"function {name!r} is refused" in caught.value.reason
    assert "set allowNondeterministic on the form and creationPolicy: Once on the resource" in caught.value.reason


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_the_switch_does_not_admit_what_is_never_admitted(name: str) -> None:
    with pytest.raises(TemplateError, match=f"function '{name}' is refused"):
        compile_template(f"{{{{ {name} }}}}", nondeterministic=True)


def test_a_template_tells_which_it_calls() -> None:
    template = "{{ define `t` }}{{ (now).Year }}{{ end }}{{ if .x }}{{ randAlpha 3 | upper }}{{ end }}{{ .x }}"
    assert compile_template(template, nondeterministic=True).nondeterministic == {"now", "randAlpha"}
    assert compile_template("{{ .now }}{{ upper `now` }}", nondeterministic=True).nondeterministic == frozenset()
    assert compile_template("{{ .now }}").nondeterministic == frozenset()
    assert set(NONDETERMINISTIC) < set(FUNCTIONS)


def test_both_ways_of_compiling_keep_apart() -> None:
    template = "{{ uuidv4 }}"
    assert compile_template(template, nondeterministic=True).nondeterministic == {"uuidv4"}
    with pytest.raises(TemplateError, match="refused"):
        compile_template(template)


def test_without_sources_rendering_fails() -> None:
    with pytest.raises(TemplateError, match="no clock and no random numbers"):
        compile_template("{{ now }}", nondeterministic=True).render({})


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{ now }}", "2023-11-14 22:13:20.25 +0000 UTC"),
        ('{{ now | date "2006-01-02" }}', "2023-11-14"),
        ("{{ now | htmlDate }}", "2023-11-14"),
        ("{{ now | unixEpoch }}", "1700000000"),
        ('{{ now | dateModify "-1h" | date "15:04" }}', "21:13"),
        ("{{ ago 1699996400 }}", "1h0m0s"),
        ("{{ ago 1699999999 }}", "1s"),
        ("{{ ago 1700000000 }}", "0s"),
        ("{{ ago 1700000060 }}", "-1m0s"),
        ("{{ ago now }}", "0s"),
        ("{{ randNumeric 0 }}{{ randAlpha -1 }}", ""),
        ("{{ randInt 5 6 }}", "5"),
        ("{{ randBytes 3 }}", "AAEC"),
        ("{{ shuffle `x` }}{{ shuffle `` }}", "x"),
        ('{{ encryptAES "pw" "text" | decryptAES "pw" }}{{ encryptAES "pw" "" }}', "text"),
        ('{{ encryptAES "pw" "text" | b64dec | len }}', "32"),
    ],
)
def test_what_they_give(template: str, text: str) -> None:
    assert rendered(template) == text


@pytest.mark.parametrize(
    ("template", "shape"),
    [
        ("{{ randAlphaNum 300 }}", "[A-Za-z0-9]{300}"),
        ("{{ randAlpha 300 }}", "[A-Za-z]{300}"),
        ("{{ randNumeric 300 }}", "[0-9]{300}"),
        ("{{ randAscii 300 }}", "[ -~]{300}"),
    ],
)
def test_random_texts_have_their_shape(template: str, shape: str) -> None:
    assert re.fullmatch(shape, rendered(template))


def test_a_uuid_is_of_version_4() -> None:
    made = uuid.UUID(rendered("{{ uuidv4 }}"))
    assert (made.version, made.variant) == (4, uuid.RFC_4122)


def test_shuffling_keeps_the_characters() -> None:
    shuffled = rendered("{{ shuffle `äbcdefgh` }}")
    assert shuffled != "äbcdefgh"
    assert sorted(shuffled) == sorted("äbcdefgh")


def test_random_integers_stay_in_their_range() -> None:
    text = rendered("{{ range until 200 }}{{ randInt -3 4 }} {{ end }}")
    assert {int(number) for number in text.split()} <= set(range(-3, 4))


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{{ randInt 5 5 }}", "range of random integers is empty"),
        ("{{ randBytes -1 }}", "below 0"),
        ("{{ randAlpha 1048577 }}", "longer than 1048576"),
        ("{{ range until 100 }}{{ $_ := randBytes 700000 }}{{ end }}", "more work"),
        ("{{ ago `yesterday` }}", "seconds since 1970"),
    ],
)
def test_what_they_refuse(template: str, reason: str) -> None:
    with pytest.raises(TemplateError, match=reason):
        rendered(template)
