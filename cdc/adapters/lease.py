"""Which Lease the capture of a server holds; the epoch in the state topic is its fence.

Fed by: settings. Feeds: the start of a capture. Never: asks for it.
"""

from __future__ import annotations

import hashlib

from shared import lease
from shared.lease import LeasePlace

__all__ = ["lease_name", "lease_place"]


def lease_name(prefix: str, server: str) -> str:
    """One Lease for each topic prefix and server: `rowplane-capture-<16 hex>`."""
    return f"rowplane-capture-{hashlib.sha256(f'{prefix}/{server}'.encode()).hexdigest()[:16]}"


def lease_place(namespace: str, prefix: str, server: str) -> LeasePlace:
    """For this process, among the captures of a server."""
    annotations = {"lynq.sh/server": server, "lynq.sh/topic-prefix": prefix}
    return lease.lease_place(namespace, lease_name(prefix, server), annotations)
