"""Sprig's string functions.

Fed by: `funcs.FUNCTIONS`. Feeds: compiled templates. Never: makes a text longer than the limits allow.
Source of the rules: Sprig v3, "String Functions"; Go package strings. Lengths and places count bytes, as in Go.
"""

from shared.gotemplate import limits
from shared.gotemplate.errors import Fault
from shared.gotemplate.funcs.casing import SPACES, map_chars, title_char
from shared.gotemplate.funcs.registry import group
from shared.gotemplate.literals import from_bytes, to_bytes, valid_text
from shared.gotemplate.printing import bounded, quote, text_of
from shared.gotemplate.values import StrList, StrMap


def hello() -> str:
    """A greeting."""
    return "Hello!"


def trunc(length: int, text: str) -> str:
    """The first bytes of a text, or with a negative length the last."""
    data = to_bytes(text)
    if length < 0 and len(data) + length > 0:
        return from_bytes(data[length:])
    if 0 <= length < len(data):
        return from_bytes(data[:length])
    return text


def trim(text: str) -> str:
    """The text without white space at both ends."""
    return text.strip(SPACES)


def title(text: str) -> str:
    """The text with the first letter of every word in title case."""
    out: list[str] = []
    before = " "
    for char in valid_text(text):
        out.append(title_char(char) if _separates(before) else char)
        before = char
    return "".join(out)


def _separates(char: str) -> bool:
    if char.isascii():
        return not (char.isalnum() or char == "_")
    return not char.isalnum() and char in SPACES


def untitle(text: str) -> str:
    """The text with the first letter of every word in lower case."""
    out: list[str] = []
    start = True
    for char in valid_text(text):
        if char in SPACES:
            start = True
        elif start:
            char = map_chars(char, str.lower)  # noqa: PLW2901 - the character is what changes
            start = False
        out.append(char)
    return "".join(out)


def substr(start: int, end: int, text: str) -> str:
    """The bytes from start to end; a negative start means from the beginning, a negative end to the end."""
    data = to_bytes(text)
    if start < 0:
        start = 0
    elif end < 0 or end > len(data):
        end = len(data)
    if not 0 <= start <= end <= len(data):
        raise Fault(f"slice bounds out of range [{start}:{end}] with length {len(data)}")
    return from_bytes(data[start:end])


def repeat(count: int, text: str) -> str:
    """The text many times over."""
    if count < 0:
        raise Fault("negative Repeat count")
    if count * len(text) > limits.MAX_OUTPUT_CHARS:
        raise Fault(f"the result is longer than {limits.MAX_OUTPUT_CHARS} characters")
    return text * count


def trim_all(chars: str, text: str) -> str:
    """The text without any of these characters at both ends."""
    return text.strip(chars) if chars else text


def trim_suffix(suffix: str, text: str) -> str:
    """The text without this ending."""
    return text.removesuffix(suffix) if suffix.isascii() else from_bytes(to_bytes(text).removesuffix(to_bytes(suffix)))


def trim_prefix(prefix: str, text: str) -> str:
    """The text without this beginning."""
    return text.removeprefix(prefix) if prefix.isascii() else from_bytes(to_bytes(text).removeprefix(to_bytes(prefix)))


def nospace(text: str) -> str:
    """The text without white space; looks at bytes, as Sprig does."""
    kept = [byte for byte in to_bytes(text) if chr(byte) not in SPACES]
    return text if len(kept) == len(to_bytes(text)) else bytes(kept).decode("latin-1")


def initials(text: str) -> str:
    """The first letter of every word; looks at bytes, as Sprig does."""
    out: list[str] = []
    gap = True
    for byte in to_bytes(text):
        char = chr(byte)
        if char in SPACES:
            gap = True
        elif gap:
            out.append(char)
            gap = False
    return "".join(out)


def contains(part: str, text: str) -> bool:
    """Whether the text contains the part."""
    return part in text if part.isascii() else to_bytes(part) in to_bytes(text)


def has_prefix(part: str, text: str) -> bool:
    """Whether the text begins with the part."""
    return text.startswith(part) if part.isascii() else to_bytes(text).startswith(to_bytes(part))


def has_suffix(part: str, text: str) -> bool:
    """Whether the text ends with the part."""
    return text.endswith(part) if part.isascii() else to_bytes(text).endswith(to_bytes(part))


def quote_(*values: object) -> str:
    """Every value in double quotes, nil left out."""
    return bounded(" ".join([quote(text_of(value)) for value in values if value is not None]))


def squote(*values: object) -> str:
    """Every value in single quotes, nil left out."""
    return bounded(" ".join([f"'{text_of(value)}'" for value in values if value is not None]))


def cat(*values: object) -> str:
    """The values with a space between them, nil left out."""
    return bounded(" ".join([text_of(value) for value in values if value is not None]))


def indent(spaces: int, text: str) -> str:
    """Every line moved to the right."""
    if spaces < 0:
        raise Fault("negative Repeat count")
    if spaces > limits.MAX_PAD:
        raise Fault(f"a width of {spaces} is above {limits.MAX_PAD}")
    if len(text) + spaces * (text.count("\n") + 1) > limits.MAX_OUTPUT_CHARS:
        raise Fault(f"the result is longer than {limits.MAX_OUTPUT_CHARS} characters")
    pad = " " * spaces
    return pad + text.replace("\n", "\n" + pad)


def nindent(spaces: int, text: str) -> str:
    """Like indent, with a new line before it."""
    return "\n" + indent(spaces, text)


def replace(old: str, new: str, text: str) -> str:
    """The text with every `old` replaced."""
    found = text.count(old)
    if len(text) + found * (len(new) - len(old)) > limits.MAX_OUTPUT_CHARS:
        raise Fault(f"the result is longer than {limits.MAX_OUTPUT_CHARS} characters")
    return text.replace(old, new)


def plural(one: str, many: str, count: int) -> str:
    """The first text for a count of 1, else the second."""
    return one if count == 1 else many


def to_string(value: object) -> str:
    """The value as text."""
    return text_of(value)


def to_strings(value: object) -> StrList:
    """A list's items as text, nil left out."""
    if isinstance(value, StrList):
        return value
    if isinstance(value, list):
        return StrList(text_of(item) for item in value if item is not None)
    return StrList() if value is None else StrList([text_of(value)])


def join(separator: str, value: object) -> str:
    """The items of a list as one text."""
    parts = [text_of(item) for item in to_strings(value)]
    if sum(map(len, parts)) + len(separator) * len(parts) > limits.MAX_OUTPUT_CHARS:
        raise Fault(f"the result is longer than {limits.MAX_OUTPUT_CHARS} characters")
    return separator.join(parts)


def sort_alpha(value: object) -> StrList:
    """The items of a list as text, sorted."""
    items = to_strings(value) if isinstance(value, list) else [value]
    return StrList(sorted(text_of(item) for item in items))


def pieces(separator: str, text: str, count: int = -1) -> list[str]:
    """strings.SplitN: at most `count` pieces, all of them when negative."""
    if count == 0:
        return []
    if (text.count(separator) if separator else len(text)) >= limits.MAX_LIST_ITEMS:
        raise Fault(f"the list has more than {limits.MAX_LIST_ITEMS} items")
    if separator:
        return text.split(separator, count - 1 if count > 0 else -1)
    if count < 0 or count >= len(text):
        return list(text)
    return [*text[: count - 1], text[count - 1 :]]


def split_list(separator: str, text: str) -> StrList:
    """The pieces of a text as a list."""
    return StrList(pieces(separator, text))


def split(separator: str, text: str) -> StrMap:
    """The pieces of a text as a map with keys _0, _1, ..."""
    return StrMap({f"_{place}": piece for place, piece in enumerate(pieces(separator, text))})


def splitn(separator: str, count: int, text: str) -> StrMap:
    """Like split, with so many pieces at most."""
    return StrMap({f"_{place}": piece for place, piece in enumerate(pieces(separator, text, count))})


def abbrev(width: int, text: str) -> str:
    """The text cut to a width, ending with three dots."""
    return text if width < 4 else _abbreviated(text, 0, width)


def abbrevboth(left: int, right: int, text: str) -> str:
    """The text cut at both ends."""
    return text if right < 4 or (left > 0 and right < 7) else _abbreviated(text, left, right)


def _abbreviated(text: str, offset: int, width: int) -> str:
    data = to_bytes(text)
    if len(data) <= width:
        return text
    offset = min(offset, len(data))
    if len(data) - offset < width - 3:
        offset = len(data) - (width - 3)
    if offset <= 4:
        return from_bytes(data[: width - 3]) + "..."
    if width < 7:
        return ""
    if offset + width - 3 < len(data):
        tail = from_bytes(data[offset:])
        return "..." + ("" if width - 3 < 4 else _abbreviated(tail, 0, width - 3))
    return "..." + from_bytes(data[len(data) - (width - 3) :])


def wrap(width: int, text: str) -> str:
    """The text broken into lines between words."""
    return _wrapped(text, width, "\n", breaks_words=False)


def wrap_with(width: int, separator: str, text: str) -> str:
    """The text broken into pieces of a width with this text between them; long words are broken."""
    return _wrapped(text, width, separator or "\n", breaks_words=True)


def _wrapped(text: str, width: int, separator: str, breaks_words: bool) -> str:
    data, mark = to_bytes(text), to_bytes(separator)
    width = max(width, 1)
    out: list[bytes] = []
    offset = size = 0
    while len(data) - offset > width:
        if data[offset] == 0x20:
            offset += 1
            continue
        end = offset + width
        space = data.rfind(b" ", offset, end + 1)
        if space < 0 and not breaks_words:
            space = data.find(b" ", end)
            if space < 0:
                break
        stop, resume = (space, space + 1) if space >= 0 else (end, end)
        out += [data[offset:stop], mark]
        size += stop - offset + len(mark)
        if size > limits.MAX_OUTPUT_CHARS:
            raise Fault(f"the result is longer than {limits.MAX_OUTPUT_CHARS} characters")
        offset = resume
    out.append(data[offset:])
    return from_bytes(b"".join(out))


FUNCTIONS = group(
    {
        "hello": hello,
        "trunc": trunc,
        "trim": trim,
        "title": title,
        "untitle": untitle,
        "substr": substr,
        "repeat": repeat,
        "trimall": trim_all,
        "trimAll": trim_all,
        "trimSuffix": trim_suffix,
        "trimPrefix": trim_prefix,
        "nospace": nospace,
        "initials": initials,
        "contains": contains,
        "hasPrefix": has_prefix,
        "hasSuffix": has_suffix,
        "quote": quote_,
        "squote": squote,
        "cat": cat,
        "indent": indent,
        "nindent": nindent,
        "replace": replace,
        "plural": plural,
        "toString": to_string,
        "toStrings": to_strings,
        "join": join,
        "sortAlpha": sort_alpha,
        "split": split,
        "splitList": split_list,
        "splitn": splitn,
        "abbrev": abbrev,
        "abbrevboth": abbrevboth,
        "wrap": wrap,
        "wrapWith": wrap_with,
    }
)
