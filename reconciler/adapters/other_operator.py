"""Whether Lynq's own operator works on this cluster: two that write the same objects would fight.

Fed by: app.py, before anything else. Feeds: its decision to start. Never: looks again once this process works.
"""

from __future__ import annotations

from shared.clock import Clock, seconds_of
from shared.errors import ClusterError, OtherOperator
from shared.kube import LEASES, KubeClient
from shared.model.names import LYNQ_LEASE

__all__ = ["refuse_beside_lynq"]


def refuse_beside_lynq(client: KubeClient, clock: Clock) -> None:
    """Raise OtherOperator while somebody renews Lynq's Lease; who may not list Leases is not asked."""
    try:
        leases, _ = client.list(LEASES)
    except ClusterError:
        return
    for lease in leases:
        spec = lease.get("spec") or {}
        if lease["metadata"]["name"] != LYNQ_LEASE or not spec.get("holderIdentity") or not spec.get("renewTime"):
            continue
        age_s = clock.wall_s() - seconds_of(spec["renewTime"])
        if age_s < max(int(spec.get("leaseDurationSeconds") or 0), 15):
            place = f"{lease['metadata']['namespace']}/{LYNQ_LEASE}"
            raise OtherOperator(
                f"Lynq's operator runs here: {spec['holderIdentity']} has renewed Lease {place}",
                mend="Scale its Deployment to 0 and start again once the Lease has run out",
            )
