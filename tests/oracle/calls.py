"""Makes small templates that call a function with hostile texts: URLs, versions, layouts, dates, JSON, patterns, ...

Fed by: a seed, `samples`. Feeds: the comparison with Go. Never: calls one function where several can share a text.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Final

from tests.oracle import samples

Case = tuple[str, dict[str, object]]
"""A template and its variables."""

_WORDS: Final = (*"aBxé É ß日ーテǆǅﬁİǈΣς٣Ⅷⅷªʰʼ\ufffd—，20_-._\t\n\u00a0\u2003\u0300", "fooBar", "HTTP", "Ab", "ij")
_URLS: Final = (
    *"/?#@[]:%aé &=+;\\^\"<>|{}*~!$'(),", "http", "https", "//", "%20", "%zz", "%41", "::1", "1.2.3.4", "8080",
    "..", "%25",
    "fe80::1", "\x7f", "HTTP", "a.b",
)  # fmt: skip
_VERSIONS: Final = (
    "1", "2", "0", "10", ".", "-", "+", "v", "x", "X", "*", "alpha", "beta.1", "01", "~", "^", ">", "<", "=",
    ">=", "!=",
    " ", "||", ",", " - ", "rc", "a", "|", "~>", "=>",
)  # fmt: skip
_DURATIONS: Final = ("1", "2", "h", "m", "s", "ms", "us", "ns", "µs", ".", "-", "+", "0", "5", "9223372036", "d", " ")
_NUMBERS: Final = (
    *"019-+.eExaf5iP_ ", "0x", "0b", "0o", "p", "inf", "nan", "Infinity", "1e5", "9223372036854775807",
    "18446744073709551616",
)  # fmt: skip
_LAYOUT: Final = (
    "2006", "06", "01", "1", "02", "2", "_2", "002", "__2", "15", "03", "3", "04", "4", "05", "5", "PM", "pm", "MST",
    "Z07:00", "-0700", "-07:00", "Z0700", "-07", "Z07", ".000", ".999", ",00", ".0", "Jan", "January", "Mon", "Monday",
    " ", "-", ":", "/", "T", "  ", "x", "-07:00:00", "Z070000",
)  # fmt: skip
_DATES: Final = (
    "1",
    "0",
    "9",
    " ",
    "-",
    ":",
    "Z",
    "+",
    "PM",
    "am",
    "GMT+3",
    "PST",
    "CEST",
    "WITA",
    "+0530",
    ".5",
    "feb",
)
_MOMENTS: Final = (
    "2024-02-29T01:02:03Z", "1999-12-31T23:59:59.123456789+05:30", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z",
    "2023-11-05T13:04:05.1-11:00", "2000-03-01T12:00:00.000001Z",
)  # fmt: skip
_PATHS: Final = ("/", "..", ".", "a", "b.c", "//", "é", "-")
_LINES: Final = ("a", "bb", " ", "é", "\n", "日", "longwordthatbreaks", "x y", "  ")
_QUOTED: Final = tuple(
    "a\"'`\\\n\x00\x7f\x80é日🎉\u2028\ufeff\u00ad\ufffd<>&=/\u200b\U000e0001\u0378\ue000\u00a0\u3000"
)
_PARTS: Final = ("a", "b", "ab", "é", ",", "aa", " ")
_SCALARS: Final = (
    "1", "-0", "1.5", "1e3", "1e21", "1e-7", "123456789", "true", "false",
    "null", '"s"', '"é"', '"\\u00e9"', '"\\n<>&"',
    '""', '"\\ud83d\\ude00"', '"\\ud800"', "0.1", "1E400", "-", "01", "1.", ".5", '"\\x"', '"\x01"', "nul", '"\u2028"',
    "100000000000000000000", "5e-324", '"\\/"', '"\ufffd"', "",
)  # fmt: skip
_ATOMS: Final = (
    *"ab.x^$*+?(){}[\\ékß\u212aſ-# _1", "ab", "\\d", "\\D", "\\w", "\\W", "\\s", "\\b", "\\B", "\\A", "\\z",
    "[ab]", "[^a]",
    "[a-c]", "[[:alpha:]]", "[^[:digit:]]", "\\pL", "\\p{Lu}", "\\PN", "\\p{Greek}", "\\P{Han}", "\\x41", "\\x{e9}",
    "\\Q.*\\E", "\\.", "[]a]", "[a-]", "[\\d-]", "(?i)", "(?s)", "(?m)", "(?U)", "(?i-s)", "\\C", "\\Z", "\\1", "\\07",
    "(?=a)", "(?<=a)", "[b-a]", "{2}", "{1,2}", "{2,}", "{,2}", "{1001}", "{0}", "**", "a*?", "\\pX", "(?P<n>",
    "(?P<é>",
    "[[:foo:]]", "[[a]", "\\x{110000}", "[&&a]",
)  # fmt: skip
_GROUPS: Final = ("(%)", "(?:%)", "(?P<n>%)", "(?P<name>%)", "(?i:%)", "%|%", "(%|%)", "(?s:%)", "(?<q1>%)")
_REPEATS: Final = ("*", "+", "?", "*?", "+?", "??", "{2}", "{1,3}", "{2,}?", "{0}")
_TEXTS: Final = (
    "", "a", "ab", "aab", "abab", "aaa bbb", "ab\nba", "A1 b2", "éàß", "Kk\u212a", "sſS", "αβγ abc", "a.*b", "\n",
    "a\nb\n",
    "日本語", "ﬁ", "x\u0301", "111-222", "k=v;k2=v2", "\x00", "\ufffd", "🎉a",
)  # fmt: skip
_REFERENCES: Final = (
    "", "x", "$0", "$1", "${1}x", "$1x", "${n}", "$n", "${name}", "$name$", "$$", "$$1", "${", "${}", "$é", "${1",
    "$2$1",
    "\\1", "$00", "$01", "$q1", "${q1}-", "$_", "$10", "$²",
)  # fmt: skip
_VALUES: Final = (
    '"é"', '"abc"', "`日\\x00本`", "true", "nil", '(index "é" 0)', '(toDate "2006" "2020").Month', '(list 1.5 "a" 3)',
    '(dict "k" 1 "z" 2.5)',
)  # fmt: skip


class Calls:
    """An endless supply of such templates."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._makers: tuple[Callable[[], Case], ...] = (
            self._url, self._version, self._constraint, self._format, self._parse, self._round_trip, self._duration,
            self._path, self._casing, self._cutting, self._number, self._json, self._quote, self._splitting,
            self._arithmetic, self._printf, self._pattern, self._pattern,
        )  # fmt: skip

    def case(self) -> Case:
        """The next template and its variables."""
        return self._random.choice(self._makers)()

    def _pick(self, values: Sequence[str]) -> str:
        return self._random.choice(values)

    def _joined(self, pieces: Sequence[str], most: int) -> str:
        return "".join([self._pick(pieces) for _ in range(self._random.randint(0, most))])

    def _changed(self, pool: Sequence[str], pieces: Sequence[str]) -> str:
        text = self._pick(pool)
        for _ in range(self._random.randint(0, 2)):
            place = self._random.randint(0, len(text))
            text = text[:place] + self._pick(pieces) + text[place + self._random.randint(0, 1) :]
        return text

    def _made(self, pool: Sequence[str], pieces: Sequence[str], most: int) -> str:
        return self._changed(pool, pieces) if self._random.random() < 0.6 else self._joined(pieces, most)

    def _url(self) -> Case:
        form = (
            '{{ urlParse .a | printf "%q" }}',
            '{{ toHost .a | printf "%q" }}',
            '{{ urlParse .a | urlJoin | printf "%q" }}',
        )
        return self._pick(form), {"a": self._made(samples.URLS, _URLS, 8)}

    def _version(self) -> Case:
        template = (
            "{{ $v := semver .a }}{{ $v }} {{ $v.Major }} {{ $v.Prerelease }} {{ $v.Metadata }} {{ $v.Original }}"
        )
        return template, {"a": self._changed(samples.VERSIONS, _VERSIONS)}

    def _constraint(self) -> Case:
        constraint, version = self._changed(samples.CONSTRAINTS, _VERSIONS), self._pick(samples.VERSIONS)
        return "{{ semverCompare .a .b }}", {"a": constraint, "b": version}

    def _format(self) -> Case:
        template = (
            '{{ $d := toDate "2006-01-02T15:04:05.999999999Z07:00" .t }}{{ date .a $d | printf "%q" }}'
            ' {{ htmlDate $d }}{{ $d.Format .a | printf "%q" }} {{ unixEpoch $d }} {{ $d.Weekday }} {{ $d.YearDay }}'
        )
        return template, {"a": self._made(samples.LAYOUTS, _LAYOUT, 7), "t": self._pick(_MOMENTS)}

    def _parse(self) -> Case:
        layout = self._made(samples.LAYOUTS, _LAYOUT, 4)
        return "{{ mustToDate .a .b }}", {"a": layout, "b": self._changed(samples.DATES, _DATES)}

    def _round_trip(self) -> Case:
        template = (
            '{{ $d := toDate "2006-01-02T15:04:05.999999999Z07:00" .t }}{{ $x := print .p ($d.Format .a) .q }}'
            "{{ mustToDate .a $x }}|{{ toDate .a $x }}"
        )
        before, after = (
            self._pick(("", "", "", " ", "1", "-")),
            self._pick(("", "", "", " ", ".5", "Z", ".123456789012")),
        )
        layout = self._made(samples.LAYOUTS, _LAYOUT, 5)
        return template, {"a": layout, "t": self._pick(_MOMENTS), "p": before, "q": after}

    def _duration(self) -> Case:
        template = '{{ mustDateModify .a (toDate "2006" "2020") }} {{ durationRound .a }} {{ duration .b }}'
        return template, {"a": self._made(samples.DURATIONS, _DURATIONS, 5), "b": self._joined(_NUMBERS, 3)}

    def _path(self) -> Case:
        template = "{{ base .a }}|{{ dir .a }}|{{ clean .a }}|{{ ext .a }}|{{ isAbs .a }}|{{ osBase .a }}"
        return template, {"a": self._joined(_PATHS, 8)}

    def _casing(self) -> Case:
        names = (
            "snakecase",
            "kebabcase",
            "camelcase",
            "swapcase",
            "title",
            "untitle",
            "upper",
            "lower",
            "trim",
            "nospace",
        )
        return f'{{{{ {self._pick((*names, "initials"))} .a | printf "%q" }}}}', {"a": self._joined(_WORDS, 10)}

    def _cutting(self) -> Case:
        forms = (
            "abbrev #", "wrap #", "trunc #", "trunc -#", 'wrapWith # "-"', "substr # 7", "substr 2 #", "abbrevboth # 9",
            "abbrevboth 3 #", "indent #", 'splitn "a" #',
        )  # fmt: skip
        call = self._pick(forms).replace("#", str(self._random.randint(0, 15)))
        return f'{{{{ {call} .a | printf "%q" }}}}', {"a": self._joined(_LINES, 14)}

    def _number(self) -> Case:
        names = ("atoi", "int64", "float64", "int", "float", "toDecimal", "add 1", "addf 1", "bool")
        return " ".join([f"{{{{ {name} .a }}}}" for name in names]), {"a": self._joined(_NUMBERS, 5)}

    def _json(self) -> Case:
        names = ("fromJson .a | toJson", "fromJson .a | toRawJson", "fromJson .a | toPrettyJson", "fromJson .a")
        template = "|".join([f"{{{{ {name} }}}}" for name in names])
        if self._random.random() < 0.3:
            template = '{{ mustFromJson .a | printf "%#v" }}'
        return template, {"a": self._json_text(0)}

    def _json_text(self, depth: int) -> str:
        draw = self._random.random()
        if depth > 3 or draw < 0.5:
            return self._pick(_SCALARS)
        count, trail = self._random.randint(0, 3), self._pick(("", "", "", "", "", "", "", "", " ", ","))
        if draw < 0.75:
            return "[" + ",".join([self._json_text(depth + 1) for _ in range(count)]) + trail + "]"
        keys = ('"a"', '"b"', '"é"', "a", '""', '"<"')
        return "{" + ",".join([f"{self._pick(keys)}:{self._json_text(depth + 1)}" for _ in range(count)]) + trail + "}"

    def _quote(self) -> Case:
        template = (
            "{{ quote .a }} {{ squote .a }} {{ html .a }} {{ js .a }} {{ urlquery .a }} "
            '{{ printf "%q %+q %#q %x % X %.3s %8.2q" .a .a .a .a .a .a .a }}'
        )
        return template, {"a": self._joined(_QUOTED, 8)}

    def _splitting(self) -> Case:
        names = (
            "trimAll .b .a", 'replace .b "-" .a', "splitList .b .a", "split .b .a", "contains .b .a",
            "trimPrefix .b .a",
            'join .b (splitList "," .a)',
        )  # fmt: skip
        template = " ".join([f'{{{{ {name} | printf "%q" }}}}' for name in names])
        return template, {"a": self._joined(_PARTS, 10), "b": self._pick(("", "a", "ab", "é", ",", "aa", "ba"))}

    def _operand(self) -> str:
        return self._pick(
            (self._pick(samples.FLOATS), self._pick(samples.WHOLE), f'(float64 "{self._joined("0.5-+e1", 4)}")')
        )

    def _arithmetic(self) -> Case:
        call = " ".join(
            [self._pick(("addf", "mulf", "divf", "subf", "maxf", "max", "add")), self._operand(), self._operand()]
        )
        call = self._pick(
            (call, " ".join([self._pick(("sub", "div", "mod", "minf")), self._operand(), self._operand()]))
        )
        places = self._random.randint(-3, 8)
        return f"{{{{ {call} }}}} {{{{ round {self._operand()} {places} }}}} {{{{ floor {self._operand()} }}}}", {}

    def _printf(self) -> Case:
        flags = "".join([flag for flag in "+-# 0" if self._random.random() < 0.25])
        width, precision = (
            self._pick(("", "", "1", "8", "12", "020")),
            self._pick(("", "", ".", ".0", ".1", ".3", ".20")),
        )
        form = f"%{flags}{width}{precision}{self._pick('vdsqxXobeEfFgGtcUT')}"
        number = self._pick((*samples.FLOATS, *samples.WHOLE, *samples.HUGE))
        value = self._pick((number, f"(int64 {self._pick(samples.WHOLE)})", self._pick(_VALUES)))
        return f'{{{{ printf "{form}" {value} | printf "%q" }}}}', {}

    def _pattern(self) -> Case:
        count = self._pick(("-1", "-1", "0", "1", "2", "3"))
        text = self._pick((".t", ".t", ".t", '(print "\\xff" .t)', '(print .t "\\xe9" .t)', "(trunc 1 .t)"))
        template = (
            f"{{{{ $t := {text} }}}}{{{{ regexMatch .p $t }}}} {{{{ regexFind .p $t | quote }}}} "
            f"{{{{ regexFindAll .p $t {count} | printf `%q` }}}} {{{{ regexSplit .p $t {count} | printf `%q` }}}} "
            "{{ regexReplaceAll .p $t .r | quote }} {{ regexReplaceAllLiteral .p $t .r | quote }}"
        )
        subject = self._pick(_TEXTS) + self._pick(("", self._pick(_TEXTS)))
        return template, {"p": self._regexp(0), "t": subject, "r": self._pick(_REFERENCES)}

    def _regexp(self, depth: int) -> str:
        parts: list[str] = []
        for _ in range(self._random.randint(0, 3)):
            inner = depth < 3 and self._random.random() < 0.4
            parts.append(self._pick(_GROUPS).replace("%", self._regexp(depth + 1)) if inner else self._pick(_ATOMS))
            parts.append(self._pick(_REPEATS) if self._random.random() < 0.3 else "")
        return "".join(parts)
