"""The one changing thing while a template runs: what is left of its limits, and the place that is being evaluated.

Fed by: `Template.render`, which makes one for each rendering. Feeds: compiled templates, the runtime, the functions.
Never: shared between renderings or threads.
"""

from collections.abc import Callable, Iterable, Mapping

from jinja2.runtime import Context

from shared.gotemplate import limits
from shared.gotemplate.errors import Fault
from shared.gotemplate.sources import Sources

Program = Callable[[Context], Iterable[str]]
"""A compiled template: from a context with `data` and `state` to pieces of text."""


class State:
    """Counters of one rendering."""

    __slots__ = ("depth", "programs", "site", "sources", "steps", "work")

    def __init__(self, programs: Mapping[str, Program], sources: Sources | None = None) -> None:
        self.programs = programs
        self.sources = sources
        self.site = 0
        self.steps = limits.MAX_LOOP_STEPS
        self.work = limits.MAX_WORK
        self.depth = 0

    def step(self) -> None:
        """Pay for one iteration or one template call. Raises Fault."""
        self.steps -= 1
        if self.steps < 0:
            raise Fault(f"more than {limits.MAX_LOOP_STEPS} loop iterations and template calls")

    def pay(self, amount: int) -> None:
        """Pay for work. Raises Fault."""
        self.work -= amount
        if self.work < 0:
            raise Fault("the template does more work than one rendering may")
