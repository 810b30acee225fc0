"""Semantic versions and constraints on them.

Fed by: `funcs.FUNCTIONS`. Feeds: compiled templates. Never: guesses; text that is no version is a Fault.
Source of the rules: Sprig v3, "Semantic Version Functions"; Go package Masterminds/semver v3; semver.org 2.0.0.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Final

from shared.gotemplate import limits
from shared.gotemplate.errors import Fault
from shared.gotemplate.funcs.registry import group
from shared.gotemplate.values import Struct, UInt64

_LABELS = r"(?:-([0-9A-Za-z\-]+(?:\.[0-9A-Za-z\-]+)*))?(?:\+([0-9A-Za-z\-]+(?:\.[0-9A-Za-z\-]+)*))?"
_VERSION: Final = re.compile(r"v?([0-9]+)(?:\.([0-9]+))?(?:\.([0-9]+))?" + _LABELS)
_PART = r"([0-9|xX*]+)"
_WILD = rf"v?{_PART}(?:\.{_PART})?(?:\.{_PART})?" + _LABELS
_OPERATOR = r"(!=|>=|=>|<=|=<|~>|=|>|<|~|\^|)"
_CONSTRAINT: Final = re.compile(rf"{_OPERATOR}\s*{_WILD}")
_RANGE: Final = re.compile(rf"\s*({_WILD})\s+-\s+({_WILD})\s*")
_SEPARATOR: Final = re.compile(r"^(?:\s*,\s*|\s+)")
_MAX_PART = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Version(Struct):
    """One version."""

    major: int
    minor: int
    patch: int
    pre: str
    meta: str
    original: str

    go_type: ClassVar[str] = "*semver.Version"

    def text(self) -> str:
        """major.minor.patch-pre+meta."""
        pre = f"-{self.pre}" if self.pre else ""
        meta = f"+{self.meta}" if self.meta else ""
        return f"{self.major}.{self.minor}.{self.patch}{pre}{meta}"

    def numbers(self) -> tuple[int, int, int]:
        """The three numbers."""
        return self.major, self.minor, self.patch

    def member(self, name: str) -> Callable[..., object] | None:
        """Its methods."""
        return _METHODS.get(name)

    def compare(self, other: "Version") -> int:
        """-1, 0 or 1 by precedence."""
        mine, theirs = (self.numbers(), _pre_key(self.pre)), (other.numbers(), _pre_key(other.pre))
        return (mine > theirs) - (mine < theirs)


def _check_length(text: str) -> None:
    if len(text) > limits.MAX_SPELLED_CHARS:
        raise Fault(f"a version is longer than {limits.MAX_SPELLED_CHARS} characters")


def _pre_key(pre: str) -> tuple[int, tuple[tuple[int, int, str], ...]]:
    """A key that sorts pre-releases: none is last, numbers before words."""
    if not pre:
        return 1, ()
    parts = pre.split(".")
    return 0, tuple((0, int(part), "") if part.isdigit() and len(part) < 20 else (1, 0, part) for part in parts)


def parse_version(text: str) -> Version:
    """The version that a text names; minor and patch may be missing. Raises Fault."""
    _check_length(text)
    match = _VERSION.fullmatch(text)
    if match is None or "\n" in text:
        raise Fault("invalid semantic version")
    major, minor, patch = (int(part[:25]) if part else 0 for part in match.group(1, 2, 3))
    if max(major, minor, patch) > _MAX_PART:
        raise Fault("error parsing version segment: value out of range")
    pre, meta = match[4] or "", match[5] or ""
    for part in pre.split("."):
        if len(part) > 1 and part[0] == "0" and part.isdigit():
            raise Fault("version segment starts with 0")
    return Version(major, minor, patch, pre, meta, text)


@dataclass(frozen=True, slots=True)
class _Constraint:
    operator: str
    version: Version
    any_minor: bool
    """The minor number is left open (`1`, `1.x`)."""
    any_patch: bool
    """The patch number is left open (`1.2`, `1.2.x`)."""
    open: bool
    """Some number is left open."""


def _parse_constraint(match: re.Match[str]) -> _Constraint:
    operator, major, minor, patch, pre = match.group(1, 2, 3, 4, 5)
    label = f"-{pre}" if pre else ""
    if _is_open(major):
        return _Constraint(operator, parse_version(f"0.0.0{label}"), False, False, True)
    if _is_open(minor):
        return _Constraint(operator, parse_version(f"{major}.0.0{label}"), True, False, True)
    if _is_open(patch):
        return _Constraint(operator, parse_version(f"{major}.{minor}.0{label}"), False, True, True)
    return _Constraint(operator, parse_version(f"{major}.{minor}.{patch}{label}"), False, False, False)


def _is_open(part: str | None) -> bool:
    return part in (None, "", "x", "X", "*")


def _alternatives(text: str) -> list[list[_Constraint]]:
    """The constraints of a text: any of the lists must hold, each as a whole. Raises Fault."""
    _check_length(text)
    rewritten = _RANGE.sub(lambda match: f">= {match[1]}, <= {match[7]} ", text)
    made: list[list[_Constraint]] = []
    for part in rewritten.split("||"):
        rest = part.strip()
        constraints: list[_Constraint] = []
        while rest:
            match = _CONSTRAINT.match(rest)
            if match is None:
                raise Fault("improper constraint")
            constraints.append(_parse_constraint(match))
            tail = rest[match.end() :]
            rest = _SEPARATOR.sub("", tail, count=1)
            if tail.strip() and (rest == tail or not rest):
                raise Fault("improper constraint")
        if not constraints:
            raise Fault("improper constraint")
        made.append(constraints)
    return made


def _not_equal(version: Version, wanted: _Constraint) -> bool:
    if wanted.open:
        if version.major != wanted.version.major:
            return True
        if version.minor != wanted.version.minor and not wanted.any_minor:
            return True
        if wanted.any_minor:
            return False
        if version.patch != wanted.version.patch and not wanted.any_patch:
            return True
        if wanted.any_patch:
            return _pre_key(version.pre) != _pre_key(wanted.version.pre)
    return version.compare(wanted.version) != 0


def _greater(version: Version, wanted: _Constraint) -> bool:
    if not wanted.open or version.major != wanted.version.major:
        return version.compare(wanted.version) > 0 if not wanted.open else version.major > wanted.version.major
    if wanted.any_minor:
        return False
    if wanted.any_patch:
        return version.minor > wanted.version.minor
    return version.compare(wanted.version) > 0


def _at_most(version: Version, wanted: _Constraint) -> bool:
    if not wanted.open:
        return version.compare(wanted.version) <= 0
    if version.major != wanted.version.major:
        return version.major < wanted.version.major
    return version.minor <= wanted.version.minor or wanted.any_minor


def _tilde(version: Version, wanted: _Constraint) -> bool:
    if version.compare(wanted.version) < 0:
        return False
    if wanted.version.numbers() == (0, 0, 0) and not wanted.any_minor and not wanted.any_patch:
        return True
    if version.major != wanted.version.major:
        return False
    return version.minor == wanted.version.minor or wanted.any_minor


def _equal(version: Version, wanted: _Constraint) -> bool:
    return _tilde(version, wanted) if wanted.open else version.compare(wanted.version) == 0


def _caret(version: Version, wanted: _Constraint) -> bool:
    if version.compare(wanted.version) < 0:
        return False
    if wanted.version.major > 0 or wanted.any_minor:
        return version.major == wanted.version.major
    if version.major > 0:
        return False
    if wanted.version.minor > 0 or wanted.any_patch:
        return version.minor == wanted.version.minor
    return version.minor == 0 and version.patch == wanted.version.patch


_CHECKS: Final[dict[str, Callable[[Version, _Constraint], bool]]] = {
    "": _equal,
    "=": _equal,
    "!=": _not_equal,
    ">": _greater,
    "<": lambda version, wanted: version.compare(wanted.version) < 0,
    ">=": lambda version, wanted: version.compare(wanted.version) >= 0,
    "=>": lambda version, wanted: version.compare(wanted.version) >= 0,
    "<=": _at_most,
    "=<": _at_most,
    "~": _tilde,
    "~>": _tilde,
    "^": _caret,
}


def _holds(version: Version, wanted: _Constraint) -> bool:
    """One constraint; a pre-release satisfies only what names a pre-release (but for != of a whole version)."""
    asks_release = bool(version.pre) and not wanted.version.pre
    if asks_release and not (wanted.operator == "!=" and not wanted.open):
        return False
    return _CHECKS[wanted.operator](version, wanted)


def semver(text: str) -> Version:
    """The version that a text names."""
    return parse_version(text)


def semver_compare(constraint: str, text: str) -> bool:
    """Whether a version satisfies a constraint such as "^1.2.0" or ">= 1, < 3 || 5.x"."""
    alternatives = _alternatives(constraint)
    version = parse_version(text)
    return any(all(_holds(version, wanted) for wanted in constraints) for constraints in alternatives)


def _compared(version: Version, other: object) -> int:
    if not isinstance(other, Version):
        raise Fault("wrong type for value; expected *semver.Version")
    return version.compare(other)


_METHODS: Final[dict[str, Callable[..., object]]] = {
    "Major": lambda version: UInt64(version.major),
    "Minor": lambda version: UInt64(version.minor),
    "Patch": lambda version: UInt64(version.patch),
    "Prerelease": lambda version: version.pre,
    "Metadata": lambda version: version.meta,
    "Original": lambda version: version.original,
    "String": lambda version: version.text(),
    "Compare": _compared,
    "Equal": lambda version, other: _compared(version, other) == 0,
    "LessThan": lambda version, other: _compared(version, other) < 0,
    "GreaterThan": lambda version, other: _compared(version, other) > 0,
}

FUNCTIONS = group({"semver": semver, "semverCompare": semver_compare})
