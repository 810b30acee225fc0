"""`rowplane resync`: ask capture to read tables again, and wait until it has.

Fed by: commands.py. Feeds: an annotation of the hubs, which capture obeys; the terminal. Never: reads a table itself.
Exit codes: 0 done (or asked for), 1 invalid, 2 usage, 3 cannot reach, 4 not done in time, or held up by a condition.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Event
from typing import Any, Final

import typer
from rich.text import Text

from cdc.operating.adapters.cluster import Cluster, source_of
from cdc.operating.adapters.database import matching_uids
from cdc.operating.options import Format, check_hubs
from cdc.operating.output import age, count, err, out, print_data, tell
from shared.clock import Deadline, SystemClock
from shared.errors import InvalidError, UsageError
from shared.model.api import find_condition
from shared.model.hub import Hub
from shared.model.names import ANNOTATION_RESYNC, ANNOTATION_RESYNC_ROWS

__all__ = ["Wish", "resync"]

_HELD: Final = 4
_LOOK_S: Final = 0.3
_PATIENCE_S: Final = 20.0
"""A trouble that stays so long is told in place of waiting on: as long as a standby needs to take over, and more."""
_SETTLED_S: Final = 1.0
"""The condition follows the phase, in another write."""
_ROWS_MAX: Final = 2_000
_ROWS_BYTES: Final = 100_000
"""Annotations of an object have 256 KiB together (Kubernetes API, `TotalAnnotationSizeLimitB`)."""
_WORKING: Final = frozenset(
    {"Snapshotting", "DeadLetters", "Streaming", "Polling", "EmptyRead", "MostRowsGone", "PartitionsDiffer"}
)
"""Reasons of the condition Synced under which tables are read."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked for."""

    hubs: Sequence[str]
    every: bool = False
    full: bool = False
    allow_empty: bool = False
    """A table that is found empty is meant to be."""
    where: str = ""
    """A condition of the server's SQL: only rows that match, and no deletes."""

    @property
    def kind(self) -> str:
        """As the request names it. Raises UsageError."""
        options = {"--full": self.full, "--allow-empty": self.allow_empty, "--where": self.where}
        given = [option for option, value in options.items() if value]
        if len(given) > 1:
            raise UsageError(f"{given[0]} and {given[1]} are both given", mend="Give one of them")
        return {"--full": "full", "--allow-empty": "empty", "--where": "rows"}[given[0]] if given else "diff"


@dataclass(slots=True)
class _Request:
    """One hub's, and what has become of it."""

    hub: Hub
    text: str
    phase: str = "Requested"
    trouble: str = ""
    """Why it does not move on, as far as that can be told."""
    since_s: float = 0.0
    """When phase and trouble became what they are."""
    is_done: bool = False
    """The table has been read, and what there is to say of that is said."""
    is_given_up: bool = False

    @property
    def name(self) -> str:
        """namespace/name of the hub."""
        return "/".join(self.hub.key)

    def data(self) -> dict[str, Any]:
        """As `-o json` has it."""
        return {"hub": self.name, "request": self.text, "phase": self.phase, "trouble": self.trouble or None}


def resync(wish: Wish, timeout_s: float, output: Format, *, wait: bool) -> None:
    """Raises UsageError, InvalidError, ClusterError; exit code 4 when a table was not read in time."""
    check_hubs(wish.hubs, every=wish.every)
    text = f"{wish.kind}/{uuid.uuid4().hex[:12]}"
    cluster = Cluster.connect()
    hubs = cluster.chosen(wish.hubs, every=wish.every)
    if not hubs:
        raise InvalidError("there is no hub that names a table", mend="kubectl get lynqhubs -A lists them")
    rows = {hub.key: _rows(cluster, hub, wish.where) for hub in hubs} if wish.where else {}
    requests = [_request(cluster, hub, text, rows.get(hub.key)) for hub in hubs]
    if wait:
        _Waiting(cluster, requests, timeout_s).run()
    if output is not Format.TEXT:
        print_data({"requests": [request.data() for request in requests]}, output)
    elif not wait:
        out().print(f"requested: {text} of {', '.join(request.name for request in requests)}", markup=False)
    if wait and not all(request.is_done and not request.trouble for request in requests):
        raise typer.Exit(_HELD)


def begin_anew(cluster: Cluster, hub: Hub, timeout_s: float) -> None:
    """Have the server's capture begin at its log's present end. Raises ClusterError; exit code 4 when it has not."""
    request = _request(cluster, hub, f"anew/{uuid.uuid4().hex[:12]}", None)
    _Waiting(cluster, [request], timeout_s).run()
    if not request.is_done or request.trouble:
        raise typer.Exit(_HELD)


def _request(cluster: Cluster, hub: Hub, text: str, rows: str | None) -> _Request:
    cluster.annotate(hub, {ANNOTATION_RESYNC: text, ANNOTATION_RESYNC_ROWS: rows})
    return _Request(hub, text)


def _rows(cluster: Cluster, hub: Hub, where: str) -> str:
    """Uids of the rows that match, as the annotation has them. Raises InvalidError, SourceError, ClusterError."""
    name = "/".join(hub.key)
    source = source_of(hub)
    uids = matching_uids(cluster.login(hub), hub, source, where, _ROWS_MAX)
    text = json.dumps(uids, ensure_ascii=False)
    if len(uids) > _ROWS_MAX or len(text.encode("utf-8", "surrogatepass")) > _ROWS_BYTES:
        raise InvalidError(
            f"hub {name}: more rows match than a request can name ({_ROWS_MAX} rows, {_ROWS_BYTES} bytes of uids)",
            mend="Narrow the condition, or have all rows published with --full",
            reason="TooManyRows",
        )
    tell("note", f"hub {name}: {count(len(uids), 'row')} to publish")
    return text


class _Waiting:
    """Looks at the hubs' status until every request is done, given up, or the time is over."""

    def __init__(self, cluster: Cluster, requests: Sequence[_Request], timeout_s: float) -> None:
        self._cluster = cluster
        self._console = err()
        self._requests = requests
        self._clock = SystemClock()
        self._begun_s = self._clock.monotonic_s()
        self._deadline = Deadline(self._clock, timeout_s)
        self._timeout_s = timeout_s

    def run(self) -> None:
        """Tells each step on standard error."""
        with self._console.status("") as status:
            self._until_done(status.update)
        for request in self._requests:
            if request.is_done and request.trouble:
                tell("warning", f"hub {request.name}: {request.trouble}")
            if not request.is_done:
                why = request.trouble or f"it is {request.phase.lower()} and not done in {age(self._timeout_s)}"
                tell("error", f"hub {request.name}: {why}", "The request stands, capture works it off when it can")

    def _until_done(self, show: Callable[[Text], None]) -> None:
        while open_ := [r for r in self._requests if not r.is_done and not r.is_given_up]:
            for request in open_:
                self._look(request)
            left = [r for r in open_ if not r.is_done]
            if self._deadline.is_over() or not left:
                return
            hubs = ", ".join(f"{r.name} {r.phase.lower()}" for r in left[:3])
            show(Text(f"{age(self._passed_s())}, {hubs}{', …' if len(left) > 3 else ''}"))
            Event().wait(_LOOK_S)

    def _passed_s(self) -> float:
        return self._clock.monotonic_s() - self._begun_s

    def _look(self, request: _Request) -> None:
        hub = self._cluster.hub(request.hub.key)
        now_s, phase = self._clock.monotonic_s(), request.phase
        known = hub.status.resync
        if known is not None and known.request == request.text:
            phase = known.phase
        if phase != request.phase:
            request.phase, request.since_s = phase, now_s
            told = f"hub {request.name}: {phase.lower()} after {age(self._passed_s())}"
            tell("note", told, console=self._console)
        if phase == "Done" and ANNOTATION_RESYNC_ROWS in hub.metadata.annotations:
            self._cluster.annotate(hub, {ANNOTATION_RESYNC_ROWS: None})
        trouble = _held(hub) if phase == "Done" else _trouble(hub, request)
        if trouble != request.trouble:
            request.trouble, request.since_s = trouble, now_s
        stood_s = now_s - request.since_s
        if phase == "Done":
            request.is_done = stood_s >= (_SETTLED_S if trouble else _LOOK_S)
        else:
            request.is_given_up = bool(trouble) and stood_s > _PATIENCE_S


def _held(hub: Hub) -> str:
    """What of the table is not in its topic although it was read."""
    synced = find_condition(hub.status.conditions, "Synced")
    return f"{synced.reason}: {synced.message}" if synced is not None and synced.status == "False" else ""


def _trouble(hub: Hub, request: _Request) -> str:
    """Why nothing happens; empty while the table is being read."""
    if hub.metadata.annotations.get(ANNOTATION_RESYNC) != request.text:
        return "another request has taken this one's place"
    synced = find_condition(hub.status.conditions, "Synced")
    if synced is not None and synced.reason not in _WORKING:
        return f"{synced.reason}: {synced.message}"
    if hub.status.resync is None or hub.status.resync.request != request.text:
        return "no capture has taken the request up: is rowplane capture running, with the cluster of this KUBECONFIG?"
    return ""
