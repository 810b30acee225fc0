"""The command `rowplane capture`.

Fed by: the shell. Feeds: cdc.supervisor. Never: holds logic.
"""

from __future__ import annotations

import typer

__all__ = ["app"]

app = typer.Typer()


@app.command()
def capture() -> None:
    """Watch hubs and stream their tables' row changes into Kafka, one process per database server."""
    from cdc.operating.checking import check_at_start  # noqa: PLC0415  # other commands should not wait for clients
    from cdc.supervisor import main  # noqa: PLC0415  # likewise

    main(check_at_start)
