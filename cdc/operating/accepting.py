"""`rowplane position accept` and `set`: a person says which database is followed, or that its log is from now on.

Fed by: commands.py. Feeds: an annotation of the server's hubs, which capture obeys. Never: accepts a server that
capture would follow anyway: what was accepted in advance would be no question any more when it is another one.
"""

from __future__ import annotations

from collections.abc import Sequence

import typer
from rich.text import Text

from cdc.adapters.server import SqlServer
from cdc.core.identity import Answer, Known, ServerFacts, Start, decide
from cdc.operating import resyncing
from cdc.operating.adapters.cluster import Cluster
from cdc.operating.adapters.states import Stored
from cdc.operating.output import count, out
from cdc.operating.showing import facts_grid, place_text, stored_of
from shared.errors import InvalidError, SourceError, UsageError
from shared.model.hub import Hub
from shared.model.names import ANNOTATION_POSITION_ACCEPTED
from shared.settings import load_kafka

__all__ = ["accept", "begin_anew"]


def accept(server: str, *, yes: bool) -> None:
    """Ask, annotate; nothing is done when there is nothing to accept. Raises UsageError, InvalidError, SourceError."""
    kafka, cluster = load_kafka(), Cluster.connect()
    hubs = _hubs(cluster, server)
    stored = stored_of(kafka, hubs[0].server_id)
    facts = _facts(cluster, hubs, stored)
    accepted = {hub.metadata.annotations.get(ANNOTATION_POSITION_ACCEPTED, "") for hub in hubs}
    start, then = _decided(stored, facts, ()), _decided(stored, facts, (facts.uuid,))
    console = out()
    console.print(Text(hubs[0].server_id, style="bold"))
    if start.answer is not Answer.STOP:
        reason = f" ({start.reason})" if start.reason else ""
        console.print(f"  Nothing to accept: capture follows this server as it is{reason}", markup=False)
        return
    console.print(facts_grid(_told(stored, facts, start, then)))
    if facts.uuid in accepted:
        console.print("  It is accepted already; capture obeys as soon as it looks again")
        return
    names = ", ".join("/".join(hub.key) for hub in hubs)
    if not yes and not typer.confirm(f"Accept it as the database of {names} from now on?"):
        raise typer.Exit(1)
    for hub in hubs:
        cluster.annotate(hub, {ANNOTATION_POSITION_ACCEPTED: facts.uuid})
    console.print(f"  Accepted: {ANNOTATION_POSITION_ACCEPTED}={facts.uuid} on {count(len(hubs), 'hub')}", markup=False)


def begin_anew(server: str, timeout_s: float, *, yes: bool) -> None:
    """Leave what is between the floor and the log's present end to a comparison of every table.

    There is no other place to set a position to: behind the floor everything is in the topics already and would be
    skipped, and any other place ahead of it would leave changes out. Raises UsageError, InvalidError, SourceError.
    """
    kafka, cluster = load_kafka(), Cluster.connect()
    hubs = _hubs(cluster, server)
    stored = stored_of(kafka, hubs[0].server_id)
    facts = _facts(cluster, hubs, stored)
    if _decided(stored, facts, ()).answer is Answer.STOP:
        raise InvalidError(
            f"server {hubs[0].server_id}: another database answers than the one that is followed",
            mend="rowplane position accept, if it is the database from now on",
            reason="ServerChanged",
        )
    console, state = out(), stored.state
    console.print(Text(hubs[0].server_id, style="bold"))
    told = {"stored": f"incarnation {state.incarnation}, up to {place_text(state.floor)}"}
    told["then"] = f"incarnation {state.incarnation + 1} or above begins at {facts.file}:{facts.end} or behind it;"
    told["then"] += " every table is compared, rows that are not in it are deleted from the topics"
    console.print(facts_grid(told))
    if not yes and not typer.confirm("Begin anew?"):
        raise typer.Exit(1)
    resyncing.begin_anew(cluster, hubs[0], timeout_s)


def _hubs(cluster: Cluster, server: str) -> Sequence[Hub]:
    """Those of the server, or of the only one."""
    hubs = [hub for hub in cluster.hubs() if not hub.source_topic]
    servers = sorted({hub.server_id for hub in hubs})
    if not servers:
        raise InvalidError("there is no hub that names a database server", mend="kubectl get lynqhubs -A lists them")
    if not server and len(servers) > 1:
        raise UsageError(f"hubs name {len(servers)} servers", mend=f"Give one of {', '.join(servers)}")
    wanted = server.lower() or servers[0]
    if wanted not in servers:
        raise InvalidError(f"no hub names server {server}", mend=f"Hubs name {', '.join(servers)}")
    return [hub for hub in hubs if hub.server_id == wanted]


def _facts(cluster: Cluster, hubs: Sequence[Hub], stored: Stored) -> ServerFacts:
    """Asked with the first login that may."""
    floor, trouble = stored.state.floor, None
    for hub in hubs:
        try:
            return SqlServer().facts(cluster.login(hub), floor.file if floor else "")
        except SourceError as error:
            trouble = error
    raise trouble or InvalidError("the server has no hub")


def _decided(stored: Stored, facts: ServerFacts, accepted: Sequence[str]) -> Start:
    """As capture decides at its next start."""
    state = stored.state
    floor = None if state.anew or (state.floor is not None and not state.floor.file) else state.floor
    return decide(Known(state.server_uuid, floor, state.floor_created_s, state.server_started_s), facts, accepted)


def _told(stored: Stored, facts: ServerFacts, start: Start, then: Start) -> dict[str, str]:
    state = stored.state
    passed = state.floor.gtids.text() if state.floor else ""
    rows = "and rows that are not in it are deleted from the topics" if then.deletes else "without deletes"
    return {
        "followed": f"{state.flavour} {state.server_uuid}, up to {passed or place_text(state.floor)}",
        "found": f"{facts.flavour} {facts.uuid}, executed {facts.executed.text() or 'nothing'}",
        "so": f"capture has stopped: {start.reason}",
        "accepted": f"incarnation {state.incarnation + 1} begins at {place_text(then.position)}; every table is"
        f" read anew, {rows}",
    }
