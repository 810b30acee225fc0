"""Who reads which partition: table by table evenly, all together evenly, and with as few moves as that allows.

A table's fleet is one topic, and topics differ in how many nodes are behind them: a member that has its share of each
topic has its share of the work, which a share of all partitions together would not give.
Fed by: the group's leader, in the consumer group's adapter. Feeds: the same. Never: performs I/O.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

__all__ = ["share_out", "without_moves"]


@dataclass(slots=True)
class _Topic:
    """The partitions of one topic while they are being shared out."""

    name: str
    partitions: int
    members: tuple[str, ...]
    """Those that subscribe to it, sorted; at least one."""
    held: dict[str, list[int]] = field(default_factory=dict)
    """Member → its partitions."""

    def keep(self, owners: Mapping[tuple[str, int], str], load: Counter[str]) -> None:
        """Leave everyone what is its due, a larger one to those that hold as many already; hand out the rest.

        `load`: what each holds of all topics.
        """
        self.held = {member: [] for member in self.members}
        for number in range(self.partitions):
            if (owner := owners.get((self.name, number))) in self.held:
                self.held[owner].append(number)
        load.subtract({member: len(numbers) for member, numbers in self.held.items()})
        due, larger = divmod(self.partitions, len(self.members))
        order = sorted(self.members, key=lambda member: (len(self.held[member]) <= due, load[member], member))
        dues = {member: due + (place < larger) for place, member in enumerate(order)}
        for member, numbers in self.held.items():
            del numbers[dues[member] :]
        taken = {number for numbers in self.held.values() for number in numbers}
        free = iter(number for number in range(self.partitions) if number not in taken)
        for member in order:
            self.held[member] += [next(free) for _ in range(dues[member] - len(self.held[member]))]
            load[member] += dues[member]

    def pass_on(self, peers: AbstractSet[str], load: Counter[str]) -> bool:
        """Give one partition from that of `peers` that has the most of all topics to the one that has the least.

        If this topic allows it. `peers`: members with one subscription; what others have is not comparable.
        """
        smaller = self.partitions // len(self.members)
        rich = [member for member in self.members if member in peers and len(self.held[member]) > smaller]
        poor = [member for member in self.members if member in peers and len(self.held[member]) == smaller]
        if not rich or not poor:
            return False
        giver = max(rich, key=lambda member: (load[member], member))
        taker = min(poor, key=lambda member: (load[member], member))
        if load[giver] - load[taker] < 2:  # passing one on would only turn the difference round
            return False
        self.held[taker].append(self.held[giver].pop())
        load[giver] -= 1
        load[taker] += 1
        return True


def share_out(
    partitions: Mapping[str, int],
    subscriptions: Mapping[str, AbstractSet[str]],
    owners: Mapping[tuple[str, int], str],
) -> dict[str, set[tuple[str, int]]]:
    """Member → its (topic, partition)s, in the end.

    `partitions`: topic → how many it has. `subscriptions`: member → its topics; one that is not in `partitions` is not
    there (yet). `owners`: who holds what now. Of every topic the shares of its subscribers differ by one at most, and
    so do those of all topics together among members with the same subscription. What is shared out like this already
    is left as it is.
    """
    load = Counter(owner for (topic, _), owner in owners.items() if topic in subscriptions.get(owner, ()))
    readers: dict[str, list[str]] = {name: [] for name in sorted(partitions)}
    for member in sorted(subscriptions):
        for name in readers.keys() & subscriptions[member]:
            readers[name].append(member)
    known = {topic for topic, _ in owners}
    topics = [_Topic(name, partitions[name], tuple(members)) for name, members in readers.items() if members]
    topics.sort(key=lambda topic: topic.name not in known)  # new ones fill up what those that are read leave uneven
    for topic in topics:
        topic.keep(owners, load)
    for peers in _peers(subscriptions):
        while sum(topic.pass_on(peers, load) for topic in topics):  # each sweep makes the loads less uneven
            pass
    shares: dict[str, set[tuple[str, int]]] = {member: set() for member in subscriptions}
    for topic in topics:
        for member, numbers in topic.held.items():
            shares[member] |= {(topic.name, number) for number in numbers}
    return shares


def _peers(subscriptions: Mapping[str, AbstractSet[str]]) -> Collection[set[str]]:
    """The members by what they subscribe to.

    While members hear of a new topic one after the other, those that have not are no place to even out what it brings.
    """
    peers: dict[frozenset[str], set[str]] = {}
    for member, topics in subscriptions.items():
        peers.setdefault(frozenset(topics), set()).add(member)
    return peers.values()


def without_moves(
    shares: Mapping[str, Collection[tuple[str, int]]], claims: Mapping[str, Collection[tuple[str, int]]]
) -> dict[str, set[tuple[str, int]]]:
    """What may be assigned at once: what somebody else still holds is nobody's until it was given up (KIP-429).

    `claims`: member → what it says to hold; of two that claim the same neither gets it.
    """
    claimants: dict[tuple[str, int], set[str]] = {}
    for member, claimed in claims.items():
        for partition in claimed:
            claimants.setdefault(partition, set()).add(member)
    return {
        member: {partition for partition in share if claimants.get(partition, {member}) == {member}}
        for member, share in shares.items()
    }
