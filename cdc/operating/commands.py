"""`rowplane check`.

Fed by: the command line and the environment. Feeds: check.py. Never: contains logic. Its imports stand in the command,
so that help, and the shell that completes a word, wait for none of them.
"""

from __future__ import annotations

from typing import Annotated

import typer

from cdc.operating.options import Format

__all__ = ["app"]

app = typer.Typer()

HubName = Annotated[str, typer.Option("--hub", help="The hub; the only one when none is named.", metavar="NS/NAME")]
Output = Annotated[Format, typer.Option("-o", "--output", help="How the result is printed.")]


@app.command()
def check(
    *,
    hub: HubName = "",
    every: Annotated[bool, typer.Option("--all", help="Every hub.")] = False,
    output: Output = Format.TEXT,
) -> None:
    """Find out whether database, Kafka and cluster are fit for capture, and what mends them. Changes nothing."""
    from cdc.operating import checking  # noqa: PLC0415  # see the module's docstring

    checking.check(hub, output, every=every)
