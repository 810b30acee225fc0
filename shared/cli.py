"""The `rowplane` command: Typer apps of every package, joined by the entry-point group `rowplane.commands`.

Fed by: the shell. Feeds: the packages' commands. Never: shows a traceback for a user's mistake.
Exit codes: 0 ok, 1 differs or invalid, 2 usage, 3 cannot reach, 4 held.
"""

from __future__ import annotations

import sys
from importlib.metadata import entry_points, version

import typer
from rich.console import Console

from shared.errors import RowplaneError

__all__ = ["main"]

GROUP = "rowplane.commands"


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"rowplane {version('rowplane')}")
        raise typer.Exit


def _build() -> typer.Typer:
    app = typer.Typer(
        name="rowplane",
        help="Database-driven Kubernetes: a row change in MySQL reaches the cluster in milliseconds.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        add_completion=False,
    )

    @app.callback()
    def root(
        _version: bool = typer.Option(
            False, "--version", callback=_show_version, is_eager=True, help="Show the version."
        ),
    ) -> None:
        """Typer needs a callback to carry the options of the root."""

    for entry in sorted(entry_points(group=GROUP), key=lambda e: e.name):
        app.add_typer(entry.load())
    return app


def main() -> None:
    """Entry point of the console script."""
    try:
        _build()()
    except RowplaneError as error:
        console = Console(stderr=True, highlight=False)
        console.print("error:", style="bold red", end=" ")
        console.print(error.text, markup=False, soft_wrap=True)
        if error.mend:
            console.print("  mend:", style="bold", end=" ")
            console.print(error.mend, markup=False, soft_wrap=True)
        sys.exit(error.exit_code)
