"""Runs a pattern over a text: all possible matches at once, one character at a time.

Fed by: the pattern parser. Feeds: the regex functions. Never: looks at a character more often than the program has
instructions.
Source of the method: Pike's virtual machine (Cox, "Regular Expression Matching: the Virtual Machine Approach").
"""

from collections.abc import Callable
from enum import Enum
from functools import lru_cache
from typing import Final, NamedTuple

from shared.gotemplate.errors import Fault
from shared.gotemplate.regex.charset import WORD, CharSet
from shared.gotemplate.regex.syntax import Assertion, Char, Choice, Group, Parser, Repeat, Sequence, Tree

MAX_INSTRUCTIONS: Final = 5000
MAX_PATTERN_CHARS: Final = 10_000
_CACHED: Final = 256
_WORD: Final = CharSet(WORD)

Pay = Callable[[int], None]
"""Told how many steps a search has made; may raise Fault."""
Slots = tuple[int, ...]
"""Where groups begin and end, two numbers each, -1 for one that took no part; the whole match comes first."""


class Op(Enum):
    """What an instruction does."""

    CHAR = 1
    SPLIT = 2
    JUMP = 3
    SAVE = 4
    ASSERT = 5
    MATCH = 6


class Instruction(NamedTuple):
    """One step; `x` and `y` are targets of a split or jump, or the slot to save."""

    op: Op
    x: int = 0
    y: int = 0
    chars: CharSet | str = ""


class _Builder:
    def __init__(self) -> None:
        self.code: list[Instruction] = []

    def _emit(self, instruction: Instruction) -> int:
        if len(self.code) >= MAX_INSTRUCTIONS:
            raise Fault("error parsing regexp: expression too large")
        self.code.append(instruction)
        return len(self.code) - 1

    def build(self, tree: Tree) -> tuple[Instruction, ...]:
        """The program of a whole pattern."""
        self._emit(Instruction(Op.SAVE, 0))
        self._add(tree)
        self._emit(Instruction(Op.SAVE, 1))
        self._emit(Instruction(Op.MATCH))
        return tuple(self.code)

    def _add(self, tree: Tree) -> None:
        match tree:
            case Char(chars):
                self._emit(Instruction(Op.CHAR, chars=chars))
            case Assertion(kind):
                self._emit(Instruction(Op.ASSERT, chars=kind))
            case Sequence(parts):
                for part in parts:
                    self._add(part)
            case Choice(options):
                self._add_choice(options)
            case Group(number, part):
                self._emit(Instruction(Op.SAVE, 2 * number))
                self._add(part)
                self._emit(Instruction(Op.SAVE, 2 * number + 1))
            case Repeat():
                self._add_repeat(tree)

    def _add_choice(self, options: tuple[Tree, ...]) -> None:
        jumps: list[int] = []
        for option in options[:-1]:
            split = self._emit(Instruction(Op.SPLIT))
            self._add(option)
            jumps.append(self._emit(Instruction(Op.JUMP)))
            self.code[split] = Instruction(Op.SPLIT, split + 1, len(self.code))
        self._add(options[-1])
        for jump in jumps:
            self.code[jump] = Instruction(Op.JUMP, len(self.code))

    def _add_repeat(self, repeat: Repeat) -> None:
        if repeat.most is None:
            self._add_endless(repeat)
            return
        for _ in range(repeat.least):
            self._add(repeat.part)
        splits: list[int] = []
        for _ in range(repeat.most - repeat.least):
            splits.append(self._emit(Instruction(Op.SPLIT)))
            self._add(repeat.part)
        for split in splits:
            self._set_split(split, repeat.greedy)

    def _add_endless(self, repeat: Repeat) -> None:
        """x{n,} is n-1 times x, then x+; x* is (x+)?, which gives empty matches of x their right rank."""
        skip = self._emit(Instruction(Op.SPLIT)) if repeat.least == 0 else None
        for _ in range(repeat.least - 1):
            self._add(repeat.part)
        start = len(self.code)
        self._add(repeat.part)
        split = self._emit(Instruction(Op.SPLIT))
        inside, outside = start, split + 1
        self.code[split] = Instruction(Op.SPLIT, *((inside, outside) if repeat.greedy else (outside, inside)))
        if skip is not None:
            self._set_split(skip, repeat.greedy)

    def _set_split(self, split: int, greedy: bool) -> None:
        """Let a split go on with its part, or leave for the end of the code written so far."""
        inside, outside = split + 1, len(self.code)
        self.code[split] = Instruction(Op.SPLIT, *((inside, outside) if greedy else (outside, inside)))


class Pattern:
    """A compiled pattern; immutable, safe to use from many threads at once."""

    __slots__ = ("_code", "_prefix", "names")

    def __init__(self, code: tuple[Instruction, ...], names: tuple[str, ...]) -> None:
        self._code = code
        self._prefix = _prefix_of(code)
        self.names = names

    def find(self, text: str, start: int, pay: Pay) -> Slots | None:
        """The leftmost match at or after `start`, None without one. Raises what `pay` raises."""
        return _Search(self._code, self._prefix, text, 2 * len(self.names)).run(start, pay)


def _prefix_of(code: tuple[Instruction, ...]) -> str:
    """The text that every match begins with."""
    prefix: list[str] = []
    for instruction in code[1:]:
        if instruction.op is not Op.CHAR or not isinstance(instruction.chars, str):
            break
        prefix.append(instruction.chars)
    return "".join(prefix)


_Thread = tuple[int, Slots]


class _Search:
    """One search: threads are (instruction, slots), the better ones first."""

    def __init__(self, code: tuple[Instruction, ...], prefix: str, text: str, slots: int) -> None:
        self._code = code
        self._prefix = prefix
        self._text = text
        self._none = (-1,) * slots

    def run(self, start: int, pay: Pay) -> Slots | None:
        threads: list[_Thread] = []
        found: Slots | None = None
        pos = start
        while pos <= len(self._text):
            if not threads:
                if found is not None:
                    break
                if self._prefix:
                    pos = self._text.find(self._prefix, pos)
                    if pos < 0:
                        break
            seen: set[int] = set()
            current: list[_Thread] = []
            for pc, slots in threads:
                self._follow(current, seen, pc, pos, slots)
            if found is None:
                self._follow(current, seen, 0, pos, self._none)
            pay(1 + len(seen))
            threads, matched = self._step(current, pos)
            found = matched or found
            pos += 1
        return found

    def _step(self, current: list[_Thread], pos: int) -> tuple[list[_Thread], Slots | None]:
        """Threads that go on behind the character at `pos`, and the match that cuts off the worse ones."""
        char = self._text[pos : pos + 1]
        after: list[_Thread] = []
        for pc, slots in current:
            instruction = self._code[pc]
            if instruction.op is Op.MATCH:
                return after, slots
            chars = instruction.chars
            if char and (char == chars if isinstance(chars, str) else char in chars):
                after.append((pc + 1, slots))
        return after, None

    def _follow(self, threads: list[_Thread], seen: set[int], pc: int, pos: int, slots: Slots) -> None:
        """Add the threads that an instruction leads to without reading a character."""
        todo = [(pc, slots)]
        while todo:
            pc, slots = todo.pop()
            if pc in seen:
                continue
            seen.add(pc)
            op, x, y, chars = self._code[pc]
            if op is Op.JUMP:
                todo.append((x, slots))
            elif op is Op.SPLIT:
                todo += [(y, slots), (x, slots)]
            elif op is Op.SAVE:
                todo.append((pc + 1, (*slots[:x], pos, *slots[x + 1 :])))
            elif op is Op.ASSERT:
                if self._holds(str(chars), pos):
                    todo.append((pc + 1, slots))
            else:
                threads.append((pc, slots))

    def _holds(self, kind: str, pos: int) -> bool:
        text = self._text
        match kind:
            case "begin":
                return pos == 0
            case "end":
                return pos == len(text)
            case "line_begin":
                return pos == 0 or text[pos - 1] == "\n"
            case "line_end":
                return pos == len(text) or text[pos] == "\n"
        before = pos > 0 and text[pos - 1] in _WORD
        behind = pos < len(text) and text[pos] in _WORD
        return (before is not behind) is (kind == "word")


@lru_cache(maxsize=_CACHED)
def compile_pattern(pattern: str) -> Pattern:
    """The compiled form of a pattern. Raises Fault for what RE2 refuses."""
    if len(pattern) > MAX_PATTERN_CHARS:
        raise Fault("error parsing regexp: expression too large")
    parser = Parser(pattern)
    tree = parser.parse()
    return Pattern(_Builder().build(tree), tuple(parser.names))
