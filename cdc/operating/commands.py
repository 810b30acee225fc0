"""`rowplane check`, `position`, `resync`, `tail` and `wait`.

Fed by: the command line and the environment. Feeds: the actions, a module a command. Never: contains logic. Their
imports stand in the commands, so that help, and the shell that completes a word, wait for none of them.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Annotated

import typer

from cdc.operating.options import Format, parse_duration_s
from shared.errors import UsageError

__all__ = ["app"]

app = typer.Typer()
position = typer.Typer(no_args_is_help=True, help="What capture has stored of its database servers.")
app.add_typer(position, name="position")

HubName = Annotated[str, typer.Option("--hub", help="The hub; the only one when none is named.", metavar="NS/NAME")]
HubNames = Annotated[
    list[str] | None,
    typer.Option("--hub", help="A hub; the only one when none is named; may be repeated.", metavar="NS/NAME"),
]
Every = Annotated[bool, typer.Option("--all", help="Every hub.")]
Output = Annotated[Format, typer.Option("-o", "--output", help="How the result is printed.")]
Server = Annotated[str, typer.Argument(help="The database server, as hubs name it.", metavar="[HOST:PORT]")]


@app.command()
def check(
    *,
    hub: HubName = "",
    every: Every = False,
    output: Output = Format.TEXT,
) -> None:
    """Find out whether database, Kafka and cluster are fit for capture, and what mends them. Changes nothing."""
    from cdc.operating import checking  # noqa: PLC0415  # see the module's docstring

    checking.check(hub, output, every=every)


@app.command()
def resync(  # noqa: PLR0913  # options
    *,
    hub: HubNames = None,
    every: Every = False,
    full: Annotated[bool, typer.Option("--full", help="Publish all rows, also those that are in step.")] = False,
    allow_empty: Annotated[
        bool, typer.Option("--allow-empty", help="Delete all rows if the table is found empty.")
    ] = False,
    where: Annotated[
        str,
        typer.Option("--where", help="Publish the rows that match, whatever they were; delete none.", metavar="SQL"),
    ] = "",
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until the table has been read.")] = True,
    timeout: Annotated[str, typer.Option("--timeout", help="How long to wait at most.", metavar="DURATION")] = "10m",
    output: Output = Format.TEXT,
) -> None:
    """Have capture read a hub's table again and publish what its topic does not hold, deletes included."""
    from cdc.operating import resyncing  # noqa: PLC0415  # see the module's docstring

    wish = resyncing.Wish(tuple(hub or ()), every, full, allow_empty, where)
    resyncing.resync(wish, parse_duration_s("--timeout", timeout), output, wait=wait)


@app.command()
def tail(
    *,
    hub: HubName = "",
    topic: Annotated[str, typer.Option("--topic", help="A change topic in place of a hub's.", metavar="NAME")] = "",
    from_beginning: Annotated[bool, typer.Option("--from-beginning", help="All that the topic still holds.")] = False,
    output: Output = Format.TEXT,
) -> None:
    """Show a table's changes as they come, until Ctrl-C: time, what, uid, columns, version, GTID. Changes nothing."""
    from cdc.operating import tailing  # noqa: PLC0415  # see the module's docstring

    tailing.tail(hub, topic, output, from_beginning=from_beginning)


@app.command()
def wait(  # options
    *,
    hub: HubName = "",
    gtid: Annotated[str, typer.Option("--gtid", help="The transaction; without it, all up to now.")] = "",
    node: Annotated[
        str, typer.Option("--node", help="Wait for a node instead: its name, or its uid.", metavar="[NS/]NAME")
    ] = "",
    goal: Annotated[str, typer.Option("--for", help="With --node: ready, applied or deleted.")] = "ready",
    timeout: Annotated[str, typer.Option("--timeout", help="How long at most.", metavar="DURATION")] = "30s",
    output: Output = Format.TEXT,
) -> None:
    """Return when what a transaction changed in the hub's table has reached the table's nodes, or a node is ready."""
    timeout_s = parse_duration_s("--timeout", timeout)
    if node:
        if hub or gtid:
            raise UsageError("--node is given with --hub or --gtid", mend="Give one of them")
        (wait_for_node,) = entry_points(group="rowplane.waits", name="node")
        wait_for_node.load()(node, goal, timeout_s, output.value)
        return
    from cdc.operating import waiting  # noqa: PLC0415  # see the module's docstring

    waiting.wait(hub, gtid, timeout_s, output)


@position.command()
def show(server: Server = "", *, output: Output = Format.TEXT) -> None:
    """Show how far each server's changes are stored in Kafka, and how its tables are followed."""
    from cdc.operating import showing  # noqa: PLC0415  # see the module's docstring

    showing.show(server.lower(), output)


@position.command()
def accept(
    server: Server = "",
    *,
    yes: Annotated[bool, typer.Option("-y", "--yes", help="Do not ask.")] = False,
) -> None:
    """Follow the database that answers now in place of another one. Shows both, and asks before it does so."""
    from cdc.operating import accepting  # noqa: PLC0415  # see the module's docstring

    accepting.accept(server, yes=yes)


@position.command(name="set")
def set_position(
    server: Server = "",
    *,
    yes: Annotated[bool, typer.Option("-y", "--yes", help="Do not ask.")] = False,
    timeout: Annotated[str, typer.Option("--timeout", help="How long to wait at most.", metavar="DURATION")] = "10m",
) -> None:
    """Begin at the log's present end, whatever stands before it: every table is compared instead."""
    from cdc.operating import accepting  # noqa: PLC0415  # see the module's docstring

    accepting.begin_anew(server, parse_duration_s("--timeout", timeout), yes=yes)
