"""A stream of row changes to be disturbed, and what has to be true of it afterwards.

Fed by: fault tests. Feeds: the database; assertions. Never: waits while the changes are made.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Final

from shared.errors import ClusterError
from shared.kube import ResourceType
from shared.model.envelope import Op, decode, decode_key, version_header
from shared.model.names import HEADER_VERSION
from tests.e2e.stage import PATIENCE_S, Stage
from tests.product import eventually

RUNS: Final = int(os.environ.get("ROWPLANE_FAULT_RUNS") or 1)
"""How often each disturbance is repeated; `ROWPLANE_FAULT_RUNS`."""
UIDS: Final = ("alpha", "beta", "gamma", "delta")
SERVICES: Final = ResourceType("v1", "Service", "services")


class Stream:
    """Numbered changes of a few rows, each in a transaction of its own."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.written: dict[str, list[str]] = {uid: [] for uid in UIDS}
        """What was committed for each row, in order."""
        self._number = 0

    def run(self, count: int, disturb: Mapping[int, Callable[[], object]] | None = None) -> None:
        """Commit `count` changes, round and round; call `disturb[i]` before the i-th."""
        for i in range(count):
            if disturb and i in disturb:
                disturb[i]()
            uid, self._number = UIDS[self._number % len(UIDS)], self._number + 1
            self._stage.sql("UPDATE nodes SET blue_version = %s WHERE node_id = %s", f"v{self._number}", uid)
            self.written[uid].append(f"v{self._number}")

    def shown(self) -> dict[str, str]:
        """The version that each node's Service shows, asked now."""
        found: dict[str, str] = {}
        for uid in UIDS:
            try:
                raw = self._stage.client.get(SERVICES, self._stage.namespace, f"{uid}-front")
            except ClusterError as error:
                found[uid] = error.reason
            else:
                found[uid] = raw["metadata"]["labels"]["version"]
        return found

    def await_arrival(self) -> None:
        """Wait until the cluster shows the last change of every row."""
        last = {uid: written[-1] for uid, written in self.written.items() if written}
        eventually(lambda: last.items() <= self.shown().items(), f"Services show {last}", PATIENCE_S, self.shown)

    def published(self) -> dict[str, list[str]]:
        """What the topic holds of each row's updates, ordered by version, repeats left out."""
        found: dict[str, dict[str, str]] = {uid: {} for uid in UIDS}
        for record in (record for record in self._stage.published() if record.key is not None):  # no control records
            envelope = decode(record.value)
            if envelope.op is Op.UPDATE and envelope.after is not None:
                _, uid = decode_key(record.key)
                version = version_header(dict(record.headers), HEADER_VERSION)
                found[uid][version.text()] = str(envelope.after["blue_version"])
        return {uid: [texts[version] for version in sorted(texts)] for uid, texts in found.items()}
