"""One random history of the model: what happens next is drawn, until everything has come to rest.

Fed by: a seed. Feeds: the model test, with what is wrong at the end. Never: is fair on purpose.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from shared.model.version import Version
from tests.unit.cdc.model_world import KEYS, World
from tests.unit.cdc.model_writer import IN_FLIGHT, Writer

Action = Callable[[], object]
_STEPS = 150
_WRITERS = 3
_SETTLING = 4_000
"""Steps after which a history that has not come to rest is taken for stuck."""


class Schedule:
    """A world, its writers, and the dice."""

    def __init__(self, seed: str, depth_records: int = 2 * IN_FLIGHT, timeouts: float = 0.0) -> None:
        self.chance = random.Random(seed)
        self.world = World(self.chance, depth_records)
        self.writers: list[Writer] = []
        self._timeouts = timeouts
        self._names = 0
        self._weather = self.chance.choice(("calm", "calm", "failovers", "failovers", "storm"))
        """What the database does: a calm one keeps its log, so that every single change has to be shown."""

    def run(self) -> str:
        """What is wrong at the end; empty when nothing is."""
        self._start()
        if self.chance.random() < 0.5:
            self._come_up()
        for _ in range(_STEPS):
            if self.chance.random() < 0.25:
                self.chance.choice(self._events())()
            else:
                self._advance()
        return self._settle() or self._judge()

    # -- what happens ----------------------------------------------------------------------------------------------

    def _events(self) -> list[Action]:
        world = self.world
        alive = [w for w in self.writers if w.is_alive]
        events: list[Action] = [world.commit] * 12
        events += [world.rotate, world.current.cut]
        if self._weather == "failovers":
            events += [world.fail_over] * 2
        if self._weather == "storm":
            events += [world.purge, world.fail_over, world.reset]
        events += [world.replicate] * (3 * bool(world.current.missing))
        for writer in alive:
            events += [writer.end, lambda w=writer: setattr(w, "is_paused", not w.is_paused)]  # type: ignore[misc]  # a lambda's parameter has no type
        late = [w for w in self.writers if not w.is_alive and w.is_late]
        if len(alive) + len(late) < _WRITERS:
            events += [self._start] * 3
        return events

    def _come_up(self) -> None:
        """The first writer has read the table and is up to date before anything happens."""
        while actions := self._actions():
            self.chance.choice(actions)()

    def _start(self) -> None:
        self._names += 1
        self.writers = [w for w in self.writers if w.is_alive or w.is_late]
        self.writers.append(Writer(self.world, f"w{self._names}"))

    def _advance(self) -> None:
        """Something that was on its way arrives, or a thread goes on."""
        actions = self._actions()
        if actions:
            self.chance.choice(actions)()

    def _actions(self) -> list[Action]:
        actions: list[Action] = []
        for writer in self.writers:
            for number, queue in enumerate(writer.queues):
                if queue:
                    actions.append(lambda w=writer, n=number: self._arrive(w, n))  # type: ignore[misc]  # as above
            if writer.appends:
                actions.append(writer.arrive_state)
            if writer.is_alive and not writer.is_paused:
                if writer.acks:
                    actions.append(lambda w=writer: w.answer(self.chance.randrange(len(w.acks))))  # type: ignore[misc]  # as above
                actions += [lambda w=writer, t=t: self._step(w, t) for t in writer.threads if t.ready()]  # type: ignore[misc]  # as above
        return actions

    def _arrive(self, writer: Writer, number: int) -> None:
        if self._timeouts and self.chance.random() < self._timeouts:
            writer.queues[number].popleft()  # given up, and the process ends; what is behind it is on its way
            writer.end()
        elif not writer.is_alive and self.chance.random() < 0.4:
            writer.queues[number].clear()  # the connection of a dead process breaks
        else:
            writer.arrive(number)

    def _step(self, writer: Writer, thread: object) -> None:
        for known in writer.threads:
            if known is thread and not known.step():
                writer.end()
                return

    # -- the end ---------------------------------------------------------------------------------------------------

    def _settle(self) -> str:
        """No more trouble: whoever is alive goes on, whatever is late arrives, one writer remains."""
        for writer in self.writers:
            writer.is_paused = False
        self._start()
        is_cut = False
        for _ in range(_SETTLING):
            actions = self._actions()
            if actions:
                self.chance.choice(actions)()
            elif self.world.current.missing:
                self.world.replicate()
            elif not is_cut:
                self.world.current.cut()  # streams of servers that have lost the address end as well
                for writer in self.writers:
                    writer.leave()
                is_cut = True
            elif not any(writer.is_alive for writer in self.writers):
                self._start()
            else:
                return ""
        return "it does not come to rest"

    def _judge(self) -> str:
        shown = dict(self.world.views())
        for key in KEYS:
            values, history = shown.get(key, []), self.world.history[key]
            if not values or values[-1] != self.world.current.rows[key]:
                return f"lost: {key} is {self.world.current.rows[key]}, shown was {values}"
            if not _runs_along(values, history):
                return f"stepped back: {key} was {history}, shown was {values}"
            if self._weather == "calm" and len(set(values)) != len(history) - history.index(values[0]):
                return f"left out: {key} was {history}, shown was {values}"
        return self._disorder()

    def _disorder(self) -> str:
        for partition in self.world.partitions:
            last: dict[str, Version] = {}
            for record in partition:
                known = last.get(record.writer)
                if known is not None and record.version <= known:
                    return f"out of order: {record.writer} appended {record.version} behind {known}"
                last[record.writer] = record.version
        return ""


def _runs_along(values: list[int], history: list[int]) -> bool:
    """Whether the values come in the order of the history; some may be missing, or come again at once."""
    at = 0
    for value in values:
        while at < len(history) and history[at] != value:
            at += 1
        if at == len(history):
            return False
    return True
