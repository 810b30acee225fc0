"""A form that is edited, its nodes, owners that see the form late, and two coordinators that see everything late.

The truth is one list of forms, each with what its status says, and the nodes as they are; owners and coordinators act
on what they have seen of it. Owners ask `rollout.given`, coordinators write what `rollout.advance` answers, in one step
or, as when they are stopped in between, much later.
Fed by: a seed. Feeds: test_rollout_model.py. Never: lets an actor see the future.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from reconciler.core import rollout
from reconciler.core.revision import History, newest, revision_of
from reconciler.core.rollout import Clocks, Phase, Standing
from shared.model.form import Form
from shared.model.names import ANNOTATION_APPROVED
from tests.builders import form_of, in_rollout

DEADLINE_S = 600
BROKEN = "bad"
"""The content of a form on which no node becomes ready."""


@dataclass
class Node:
    """A LynqNode, and what is true of it without being told."""

    generation: int
    told: int = 0
    ready: bool = False
    leaving: bool = False
    is_sick: bool = False
    """Cannot become ready whatever the form says."""
    between: int = 0
    """The generation that it was given and has not been ready on since; 0: none, or it was new or sick before."""


@dataclass
class Coordinator:
    """Sees the form as of an older moment, and the nodes as of another one."""

    seen: int = 0
    nodes: dict[str, Node] = field(default_factory=dict)
    clocks: Clocks = field(default_factory=Clocks)
    pending: tuple[int, Form] | None = None
    """Computed, not yet written: (which form it was computed from, the form with the new status)."""


class World:
    """One history; `violation` says what went wrong first."""

    def __init__(self, seed: str) -> None:
        self.chance = random.Random(seed)
        self.now_s = 0.0
        self.forms = [_form(1, "a", 0)]
        self.revisions = {1: revision_of(self.forms[0])}
        self.nodes: dict[str, Node] = {}
        self.owners = [0, 0, 0]
        """How far each owner has seen the form."""
        self.takeovers = 0
        self.coordinators = [Coordinator(), Coordinator()]
        self.forgiven: set[str] = set()
        """Nodes whose slot was given up: after the deadline when they were ill before, or by approval."""
        self.violation = ""

    # -- what is true ----------------------------------------------------------------------------------------------

    @property
    def form(self) -> Form:
        return self.forms[-1]

    def history(self, form: Form) -> History:
        """What one who has seen this form can know of its generations."""
        known = {n: r for n, r in self.revisions.items() if n <= form.metadata.generation}
        current = newest(form, known.values())
        assert current is not None
        return History(current.number, {n: r.digest for n, r in known.items()})

    def updating(self, form: Form) -> list[str]:
        return form.status.rollout.updating if form.status.rollout else []

    def content(self, generation: int) -> str:
        return self.revisions[generation].form.spec.config_maps[0].id

    def _fail(self, text: str) -> None:
        self.violation = self.violation or f"{text} (generation {self.form.metadata.generation}, t={self.now_s:.0f})"

    def check(self) -> None:
        """Every node that was given today's target and is not ready on it since holds a slot."""
        history = self.history(self.form)
        if rollout.max_skew(self.form) == 0:
            return
        held = set(self.updating(self.form))
        for name, node in self.nodes.items():
            is_between = node.between and history.same(node.between, history.current)
            if is_between and name not in held | self.forgiven:
                self._fail(f"{name} is between two generations without a slot")

    # -- people ----------------------------------------------------------------------------------------------------

    def edit(self, content: str | None = None, max_skew: int | None = None) -> None:
        """A person edits the form."""
        content = content or self.content(self.history(self.form).current)
        skew = rollout.max_skew(self.form) if max_skew is None else max_skew
        was_bounded = rollout.max_skew(self.form) > 0
        form = _form(self.form.metadata.generation + 1, content, skew)
        form = form.model_copy(update={"status": self.form.status})
        self.forms.append(form)
        known = {n: r for n, r in self.revisions.items() if n <= form.metadata.generation}
        if newest(form, known.values()) is None:
            self.revisions[form.metadata.generation] = revision_of(form)
        if not was_bounded:  # what is on its way already, or is sent there by who has not seen the bound yet
            self.forgiven = set(self.nodes)
        self._forgive_anew()

    def approve(self) -> None:
        """A person wants the rollout to go on."""
        metadata = self.form.metadata.model_copy(
            update={"annotations": {ANNOTATION_APPROVED: str(self.history(self.form).current)}}
        )
        self.forms.append(self.form.model_copy(update={"metadata": metadata}))

    def _forgive_anew(self) -> None:
        """Whose slot was given up for another target may not go without one any more once it is ready."""
        self.forgiven = {name for name in self.forgiven if name in self.nodes}

    # -- nodes and owners --------------------------------------------------------------------------------------------

    def add(self, name: str) -> None:
        """A row is inserted: its owner makes the LynqNode."""
        form = self.forms[self._owner(name)]
        number = rollout.given(form, self.history(form), 0, name)
        assert number is not None
        self.nodes[name] = Node(number)

    def _owner(self, name: str) -> int:
        return self.owners[(int(name) + self.takeovers) % len(self.owners)]

    def own(self, name: str) -> None:
        """The node's owner looks it over."""
        node, form = self.nodes[name], self.forms[self._owner(name)]
        history = self.history(form)
        number = rollout.given(form, history, node.generation, name)
        if number is None:
            if history.knows(node.generation):
                self._fail(f"{name} has nothing to be rendered from")
            return
        if number < node.generation:
            self._fail(f"{name} steps back from generation {node.generation} to {number}")
        if number == node.generation:
            return
        was_ready = node.ready and history.same(node.told, node.generation) and not node.is_sick
        is_target = self.history(self.form).same(number, self.history(self.form).current)
        if rollout.max_skew(form) > 0 and is_target and (was_ready or node.between):
            node.between = number
        node.generation = number

    def tell(self, name: str) -> None:
        """The node's status follows what is true of it."""
        node = self.nodes[name]
        node.told, node.ready = node.generation, self.content(node.generation) != BROKEN and not node.is_sick
        if node.ready:
            node.between = 0
            if node.generation == self.history(self.form).current:
                self.forgiven.discard(name)

    # -- coordinators ------------------------------------------------------------------------------------------------

    def look(self, who: Coordinator) -> None:
        """Its watches catch up."""
        self.look_at_form(who)
        self.look_at_nodes(who)

    def look_at_form(self, who: Coordinator) -> None:
        who.seen = len(self.forms) - 1

    def look_at_nodes(self, who: Coordinator) -> None:
        who.nodes = {name: replace(node) for name, node in self.nodes.items()}

    def compute(self, who: Coordinator) -> None:
        """It decides on what it sees, and looks for holders of slots that it does not see."""
        form = self.forms[who.seen]
        seen = dict(who.nodes)
        for name in self.looked_for(form, seen):
            if name in self.nodes:
                seen[name] = self.nodes[name]
        standings = [Standing(name, n.generation, n.told, n.ready, 0, n.leaving) for name, n in seen.items()]
        result = rollout.advance(form, self.history(form), standings, who.clocks, self.now_s, "now")
        who.clocks = result.clocks
        if result.status != form.status.rollout:
            status = form.status.model_copy(update={"rollout": result.status})
            who.pending = who.seen, form.model_copy(update={"status": status})

    def looked_for(self, form: Form, seen: Mapping[str, Node]) -> list[str]:
        """A miss means look: nodes that a coordinator asks the server for before it decides."""
        return [name for name in self.updating(form) if name not in seen]

    def is_newest(self, seen: int) -> bool:
        """Compare-and-swap."""
        return seen == len(self.forms) - 1

    def write(self, who: Coordinator) -> None:
        """It writes what it decided."""
        if who.pending is None:
            return
        (seen, form), who.pending = who.pending, None
        if not self.is_newest(seen):
            return
        before, after = set(self.updating(self.form)), set(self.updating(form))
        self._check_slots(before, after)
        for name in before - after:
            if name in self.nodes:
                self._forgive(who, name)
        status = form.status
        self.forms.append(self.form.model_copy(update={"status": status}))

    def _check_slots(self, before: set[str], after: set[str]) -> None:
        form = self.form
        if after - before and len(after) > rollout.max_skew(form):
            self._fail(f"{len(after)} slots of {rollout.max_skew(form)}")
        told = form.status.rollout
        is_failed = told is not None and told.phase == Phase.FAILED and not form.metadata.annotations
        same = told is not None and self.history(form).same(told.target_generation or 0, self.history(form).current)
        if after - before and is_failed and same:
            self._fail("a failed rollout goes on")

    def _forgive(self, who: Coordinator, name: str) -> None:
        """A slot that is taken back from a node in between: only after its time, by approval, or without a bound."""
        is_late = name in who.clocks.given_up_s
        if is_late or rollout.max_skew(self.form) == 0:
            self.forgiven.add(name)  # its owner may move it even later
        elif self.nodes[name].between:
            self._fail(f"{name} loses its slot in between")

    def kill(self, number: int) -> None:
        """A coordinator dies; the next one begins with what is there."""
        self.coordinators[number] = Coordinator()
        self.look(self.coordinators[number])

    # -- one history -------------------------------------------------------------------------------------------------

    def run(self, steps: int = 120) -> str:
        """Random events, then peace: what went wrong, or an empty text."""
        for number in range(6):
            self.add(str(number))
        for who in self.coordinators:
            self.look(who)
        for _ in range(steps):
            self._event()
            self.check()
            if self.violation:
                return self.violation
        return self._settle()

    def _event(self) -> None:  # noqa: C901, PLR0912  # one case an event
        chance, names = self.chance, sorted(self.nodes)
        who = chance.choice(self.coordinators)
        match chance.choices(
            ["own", "tell", "see", "look", "step", "compute", "write", "edit", "skew", "time", "row", "sick", "kill",
             "leave", "approve", "takeover"],
            [30, 20, 15, 10, 20, 4, 4, 2, 2, 4, 3, 2, 1, 2, 1, 1],
        )[0]:  # fmt: skip
            case "own" if names:
                self.own(chance.choice(names))
            case "tell" if names:
                self.tell(chance.choice(names))
            case "see":
                owner = chance.randrange(len(self.owners))
                self.owners[owner] = chance.randint(self.owners[owner], len(self.forms) - 1)
            case "look":
                chance.choice([self.look_at_form, self.look_at_nodes])(who)
            case "step":
                chance.choice([self.look_at_form, self.look_at_nodes, self.look])(who)
                self.compute(who)
                self.write(who)
            case "compute":
                self.compute(who)
            case "write":
                self.write(who)
            case "edit":
                self.edit(content=chance.choice(["a", "b", BROKEN]))
            case "skew":
                self.edit(max_skew=chance.choice([0, 1, 2, 2, 3]))
            case "time":
                self.now_s += chance.choice([60, DEADLINE_S])
            case "row":
                self._row(chance.choice([*names, str(chance.randrange(20))]))
            case "sick" if names:
                node = self.nodes[chance.choice(names)]
                node.is_sick = not node.is_sick
            case "leave" if names:
                node = self.nodes[chance.choice(names)]
                node.leaving = not node.leaving
            case "kill":
                self.kill(chance.randrange(2))
            case "approve":
                self.approve()
            case "takeover":
                self.takeovers += 1

    def _row(self, name: str) -> None:
        if name in self.nodes:
            del self.nodes[name]
            self.forgiven.discard(name)
        else:
            self.add(name)

    def rest(self, looks: int = 60) -> None:
        """One coordinator is left, everybody sees everything, again and again, and time passes."""
        who = self.coordinators[0]
        for _ in range(looks):
            self.look(who)
            self.compute(who)
            self.write(who)
            self.owners = [len(self.forms) - 1] * len(self.owners)
            for name in list(self.nodes):
                self.own(name)
                self.check()
                self.tell(name)
            self.now_s += DEADLINE_S / 4

    def _settle(self) -> str:
        for node in self.nodes.values():
            node.is_sick = node.leaving = False
        if self.content(self.history(self.form).current) == BROKEN:
            self._judge_broken()
            self.edit(content="c")
        self.rest(20)
        self.approve()  # what became of an earlier failure
        self.rest()
        history = self.history(self.form)
        late = [n for n, node in self.nodes.items() if not history.same(node.told, history.current) or not node.ready]
        if late:
            self._fail(f"{late} never come to rest")
        told = self.form.status.rollout
        if rollout.max_skew(self.form) and self.nodes and (told is None or told.phase != Phase.COMPLETE):
            self._fail(f"the end is not told: {told}")
        return self.violation

    def _judge_broken(self) -> None:
        """On a version that is broken: it stops at the bound, and is said to have failed after the deadline."""
        if rollout.max_skew(self.form) == 0 or self.form.metadata.annotations:
            return
        self.rest()
        told = self.form.status.rollout
        moved = [n for n, node in self.nodes.items() if node.between and n not in self.forgiven]
        if moved and (told is None or told.phase != Phase.FAILED):
            self._fail(f"{moved} are broken for long, and nobody says so: {told}")


def _form(generation: int, content: str, max_skew: int) -> Form:
    form = form_of(configMaps=[{"id": content, "nameTemplate": "{{ .uid }}", "spec": {}}])
    metadata = form.metadata.model_copy(update={"generation": generation})
    form = in_rollout(form.model_copy(update={"metadata": metadata}), max_skew)
    return form.model_copy(update={"status": form.status.model_copy(update={"rollout": None})})
