"""Beside Lynq's own operator no reconciler starts: its Lease, on the real API server."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.adapters.other_operator import refuse_beside_lynq
from shared.errors import OtherOperator
from shared.kube import LEASES, KubeClient
from shared.model.names import LYNQ_LEASE
from tests.builders import HandClock, fresh_namespace

pytestmark = pytest.mark.stack
RENEWED = "2026-01-01T00:00:00.000000Z"
RENEWED_S = 1767225600.0


def lease(namespace: str, holder: str) -> dict[str, Any]:
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"namespace": namespace, "name": LYNQ_LEASE},
        "spec": {"holderIdentity": holder, "leaseDurationSeconds": 15, "renewTime": RENEWED},
    }


class Clock(HandClock):
    """A wall clock that is set."""

    def __init__(self, at_s: float) -> None:
        super().__init__()
        self._at_s = at_s

    def wall_s(self) -> float:
        return self._at_s


def test_a_lease_that_is_renewed_stops_the_start_and_one_that_ran_out_does_not(client: KubeClient) -> None:
    with fresh_namespace(client) as namespace:
        client.create(LEASES, lease(namespace, "lynq-0"))
        with pytest.raises(OtherOperator, match="lynq-0 has renewed Lease") as caught:
            refuse_beside_lynq(client, Clock(RENEWED_S + 10.0))
        assert "Scale its Deployment to 0" in caught.value.mend
        refuse_beside_lynq(client, Clock(RENEWED_S + 16.0))
        client.delete(LEASES, namespace, LYNQ_LEASE)


def test_a_lease_that_was_given_up_is_no_operator(client: KubeClient) -> None:
    with fresh_namespace(client) as namespace:
        client.create(LEASES, lease(namespace, ""))
        refuse_beside_lynq(client, Clock(RENEWED_S + 1.0))
        client.delete(LEASES, namespace, LYNQ_LEASE)
