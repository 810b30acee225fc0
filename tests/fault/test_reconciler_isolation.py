"""Many nodes hang at the API server at the same time: the others do not wait for them."""

from __future__ import annotations

import time

import pytest

from tests.e2e.stage import ONE_SERVICE, Stage
from tests.fault.api_proxy import ApiProxy, Request, Stalls
from tests.fault.proxied import api, product
from tests.fault.stream import UIDS, Stream

__all__ = ["api", "product"]

pytestmark = [pytest.mark.stack, pytest.mark.fault, pytest.mark.parametrize("flavour", ["mysql"], indirect=True)]

HANGING = tuple(f"hang{i:02}" for i in range(40))
"""More than both reconcilers have places for."""
STALL_S = 60.0


def of_a_hanging_one(request: Request) -> bool:
    return request.is_write and request.name.startswith("hang")


class TestManyHang:
    """Every write of forty nodes."""

    RESOURCES = ONE_SERVICE

    def test_changes_of_the_others_arrive_meanwhile(self, stage: Stage, api: ApiProxy) -> None:
        stage.insert(*UIDS, *HANGING)
        stream = Stream(stage)
        began_s = time.monotonic()
        for _ in range(5):
            stream.run(len(UIDS))
            stream.await_arrival()
        print(f"before: {time.monotonic() - began_s:.2f} s")
        with api.fault(Stalls(of_a_hanging_one, None, STALL_S)) as rule:
            stage.sql("UPDATE nodes SET blue_version = 'stalled' WHERE node_id LIKE 'hang%'")
            assert rule.reached.wait(STALL_S)
            began_s = time.monotonic()
            for _ in range(5):
                stream.run(len(UIDS))
                stream.await_arrival()
            print(f"5 changes of {len(UIDS)} rows took {time.monotonic() - began_s:.2f} s")
            shown = [stage.get("Service", f"{uid}-front")["metadata"]["labels"]["version"] for uid in HANGING]
            assert "stalled" not in shown
        for uid in HANGING:
            stage.await_change(
                0,
                lambda c, u=uid: c.name == f"{u}-front" and c.object["metadata"]["labels"].get("version") == "stalled",  # type: ignore[misc]  # a lambda's parameter has no type
                f"{uid} shows its row",
            )
