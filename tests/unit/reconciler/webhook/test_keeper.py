"""The keeper: in which order it serves and announces, and that no trouble ends it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence

import pytest

from reconciler.webhook.certificates import KeyPair, make_key_pair
from reconciler.webhook.keeper import Keeper
from reconciler.webhook.metrics import Metrics
from reconciler.webhook.rotation import Offer
from shared.errors import ClusterUnreachable

NAMES = frozenset(("webhook.shop.svc",))


class Desk:
    """A source, an announcer and a server that write down what happens, in one list."""

    def __init__(self) -> None:
        self.one = make_key_pair(NAMES, time.time(), 3600.0)
        self.other = make_key_pair(NAMES, time.time(), 3600.0)
        self.offer = Offer(self.one, (self.one.authority,))
        self.happened: list[tuple[str, object]] = []
        self.faults: list[Exception] = []
        self.looked = threading.Semaphore(0)
        self.metrics = Metrics()
        self.keeper = Keeper(self, self, self.serve, self.metrics, check_s=0.001)

    def look(self, is_settled: Callable[[bytes], bool]) -> Offer:
        self.looked.release()
        if self.faults:
            raise self.faults.pop()
        return self.offer

    def ensure(self, authorities: Sequence[bytes]) -> None:
        self.happened.append(("announce", tuple(authorities)))

    def is_settled(self, authority: bytes) -> bool:
        return True

    def serve(self, pair: KeyPair) -> None:
        self.happened.append(("serve", pair))

    def failures(self) -> float | None:
        return self.metrics.registry.get_sample_value("rowplane_webhook_check_failures_total")

    def await_looks(self, count: int) -> None:
        for _ in range(count):
            assert self.looked.acquire(timeout=10.0)


@pytest.fixture
def desk() -> Iterator[Desk]:
    made = Desk()
    yield made
    made.keeper.stop()


def test_the_first_certificate_is_served_before_anybody_is_told_to_call(desk: Desk) -> None:
    desk.keeper.check()
    assert desk.happened == [("serve", desk.one), ("announce", (desk.one.authority,))]


def test_a_later_one_is_announced_before_it_is_served_and_one_that_is_served_is_not_served_again(desk: Desk) -> None:
    desk.keeper.check()
    desk.happened.clear()
    desk.offer = Offer(desk.other, (desk.other.authority, desk.one.authority))
    desk.keeper.check()
    assert desk.happened == [("announce", desk.offer.authorities), ("serve", desk.other)]
    desk.happened.clear()
    desk.keeper.check()
    assert desk.happened == [("announce", desk.offer.authorities)]


def test_the_end_of_the_served_certificate_is_a_metric(desk: Desk) -> None:
    desk.keeper.check()
    value = desk.metrics.registry.get_sample_value("rowplane_webhook_certificate_expiry_seconds")
    assert value == desk.one.not_after_s


@pytest.mark.parametrize("fault", [ClusterUnreachable("API server does not answer"), RuntimeError("a bug")])
def test_trouble_is_counted_and_the_next_check_comes(desk: Desk, fault: Exception) -> None:
    desk.faults = [fault, fault]
    desk.keeper.start()
    desk.await_looks(4)
    assert desk.failures() == 2.0
    assert ("serve", desk.one) in desk.happened


def test_what_cannot_begin_says_so(desk: Desk) -> None:
    desk.faults = [ClusterUnreachable("API server does not answer")]
    with pytest.raises(ClusterUnreachable):
        desk.keeper.check()
