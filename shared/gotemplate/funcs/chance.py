"""Functions of the present moment and of chance, which a form must ask for: `compile_template(nondeterministic=True)`.

Fed by: `funcs.FUNCTIONS`, and the `Sources` of a rendering. Feeds: compiled templates. Never: draws from anything but
the `Sources`; the same moment and the same bytes give the same text.
Source of the rules: Sprig v3, "Date Functions" (now, ago), "String Functions" (rand*, shuffle), "UUID Functions",
"Cryptographic and Security Functions" (randBytes).
"""

import base64
import string
import uuid

from shared.gotemplate import limits
from shared.gotemplate.errors import Fault
from shared.gotemplate.funcs.calendar import SECOND_NS, moment
from shared.gotemplate.funcs.dates import Time, duration_text, moment_of
from shared.gotemplate.funcs.registry import group
from shared.gotemplate.sources import Sources
from shared.gotemplate.state import State

_DRAW_BYTES = 8
_PRINTABLE = "".join(map(chr, range(32, 127)))


def _sources(state: State) -> Sources:
    if state.sources is None:
        raise Fault("this rendering has no clock and no random numbers")
    return state.sources


def random_bytes(state: State, count: int) -> bytes:
    """So many random bytes from the sources of the rendering. Raises Fault."""
    state.pay(count)
    return _sources(state).random_bytes(count)


def _draw(state: State, count: int, below: int) -> list[int]:
    """Random numbers from 0 to below a bound; 64 bits each, so that the remainder favours none noticeably."""
    if count > limits.MAX_OUTPUT_CHARS:
        raise Fault(f"the result is longer than {limits.MAX_OUTPUT_CHARS} characters")
    data = random_bytes(state, count * _DRAW_BYTES)
    return [
        int.from_bytes(data[place : place + _DRAW_BYTES], "big") % below for place in range(0, len(data), _DRAW_BYTES)
    ]


def _text(state: State, count: int, alphabet: str) -> str:
    return "".join([alphabet[place] for place in _draw(state, max(count, 0), len(alphabet))])


def now(state: State) -> Time:
    """The present moment, in UTC."""
    seconds, part = divmod(_sources(state).now_s(), 1)
    return Time(moment(int(seconds), int(part * SECOND_NS)))


def ago(state: State, when: object) -> str:
    """The time since a moment, in whole seconds, as a duration."""
    present, past = now(state).at, moment_of(when).at
    passed_ns = (present.seconds - past.seconds) * SECOND_NS + present.nanos - past.nanos
    seconds = (abs(passed_ns) + SECOND_NS // 2) // SECOND_NS
    return duration_text((-seconds if passed_ns < 0 else seconds) * SECOND_NS)


def uuidv4(state: State) -> str:
    """A random UUID."""
    return str(uuid.UUID(bytes=random_bytes(state, 16), version=4))


def rand_alpha_num(state: State, count: int) -> str:
    """A random text of letters and digits."""
    return _text(state, count, string.ascii_letters + string.digits)


def rand_alpha(state: State, count: int) -> str:
    """A random text of letters."""
    return _text(state, count, string.ascii_letters)


def rand_numeric(state: State, count: int) -> str:
    """A random text of digits."""
    return _text(state, count, string.digits)


def rand_ascii(state: State, count: int) -> str:
    """A random text of printable ASCII characters."""
    return _text(state, count, _PRINTABLE)


def rand_int(state: State, least: int, below: int) -> int:
    """A random integer from the first number to below the second."""
    if below <= least:
        raise Fault("the range of random integers is empty")
    return least + _draw(state, 1, below - least)[0]


def rand_bytes(state: State, count: int) -> str:
    """So many random bytes, in base 64."""
    if not 0 <= count <= limits.MAX_OUTPUT_CHARS:
        raise Fault(f"a number of bytes is below 0 or above {limits.MAX_OUTPUT_CHARS}")
    return base64.b64encode(random_bytes(state, count)).decode()


def shuffle(state: State, text: str) -> str:
    """The characters of a text in random order."""
    chars = list(text)
    for place, other in zip(range(len(chars) - 1, 0, -1), _draw(state, len(chars), 1 << 63), strict=False):
        chosen = other % (place + 1)
        chars[place], chars[chosen] = chars[chosen], chars[place]
    return "".join(chars)


FUNCTIONS = group(
    {
        "now": now,
        "ago": ago,
        "uuidv4": uuidv4,
        "randAlphaNum": rand_alpha_num,
        "randAlpha": rand_alpha,
        "randNumeric": rand_numeric,
        "randAscii": rand_ascii,
        "randInt": rand_int,
        "randBytes": rand_bytes,
        "shuffle": shuffle,
    }
)
