"""What is left of the limits of one rendering.

Fed by: `Template.render`, which makes one for each rendering. Feeds: loops, filters, methods, operators, the output.
Never: shared between renderings or threads.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Final

from jinja2.runtime import Context, Undefined

from shared.gotemplate import Sources, limits
from shared.jinjatemplate.values import Fault, cost_of

CALL_WORK: Final = 16
"""Work of a call, before what its arguments and its result add."""

NODE_WORK: Final = 4
"""Work of one node of the syntax tree in the body of a loop or macro."""


class Budget:
    """Counters of one rendering."""

    __slots__ = ("depth", "loop_work", "sources", "steps", "work")

    def __init__(self, sources: Sources | None, loop_work: int) -> None:
        self.sources = sources
        self.loop_work = loop_work
        self.steps = limits.MAX_LOOP_STEPS
        self.work = limits.MAX_WORK
        self.depth = 0

    def pay(self, amount: int) -> None:
        """Pay for work. Raises Fault."""
        self.work -= amount
        if self.work < 0:
            raise Fault("the template does more work than one rendering may")

    def step(self, work: int) -> None:
        """Pay for one round of a loop or one call of a macro. Raises Fault."""
        self.steps -= 1
        if self.steps < 0:
            raise Fault(f"more than {limits.MAX_LOOP_STEPS} loop iterations and macro calls")
        self.pay(work)

    def enter(self) -> None:
        """Go one macro or recursive loop deeper. Raises Fault."""
        if self.depth == limits.MAX_TEMPLATE_DEPTH:
            raise Fault(f"macros and loops call themselves deeper than {limits.MAX_TEMPLATE_DEPTH}")
        self.depth += 1

    def weigh(self, value: object) -> None:
        """Pay for a value by its size. Raises Fault, also when it is no data or too large."""
        self.pay(cost_of(value))

    def charge(self, args: Iterable[object], kwargs: Mapping[str, object]) -> None:
        """Pay for a call and its arguments. Raises Fault."""
        self.pay(CALL_WORK)
        for arg in args:
            self.weigh(arg)
        for arg in kwargs.values():
            self.weigh(arg)

    def settled(self, result: object) -> object:
        """Pay for a result; what is made bit by bit becomes a list, what is marked as HTML a plain text."""
        if isinstance(result, Iterator):
            result = list(islice(result, limits.MAX_LIST_ITEMS + 1))
        elif isinstance(result, str) and type(result) is not str:
            result = str(result)
        self.weigh(result)
        return result


class Each:
    """What a loop walks, paid for round by round."""

    __slots__ = ("_budget", "_items", "_work")

    def __init__(self, budget: Budget, value: object, work: int) -> None:
        if isinstance(value, Undefined):
            value = list(value)  # what is not there says so, by its name
        if not isinstance(value, str | list | tuple | dict | range):
            raise Fault(f"cannot loop over a value of type {type(value).__name__}")
        self._budget = budget
        self._items = value
        self._work = work
        budget.pay(len(value))

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[object]:
        for item in self._items:
            self._budget.step(self._work)
            yield item


class RenderContext(Context):
    """Jinja2's context of one rendering, with its budget."""

    budget: Budget


def budget_of(context: Context) -> Budget:
    """The budget of the rendering that a context belongs to."""
    if not isinstance(context, RenderContext):
        raise TypeError("templates are rendered by Template.render")
    return context.budget
