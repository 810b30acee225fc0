"""The `rowplane` command: Typer apps of every package, joined by the entry-point group `rowplane.commands`.

An entry point bears the name of a command and names the app that has it; one app may stand behind several names. Only
the app of the command that was asked for is imported: a check of a form need not wait for the Kafka client.
Fed by: the shell. Feeds: the packages' commands. Never: shows a traceback for a user's mistake.
Exit codes: 0 ok, 1 differs or invalid, 2 usage, 3 cannot reach, 4 held.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
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


def _build(arguments: Sequence[str]) -> typer.Typer:
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

    entries = sorted(entry_points(group=GROUP), key=lambda e: e.name)
    command = next((argument for argument in arguments if not argument.startswith("-")), "")
    named = [entry for entry in entries if entry.name == command]
    for entry in {entry.value: entry for entry in named or entries}.values():
        app.add_typer(entry.load())
    return app


def main() -> None:
    """Entry point of the console script."""
    try:
        _build(sys.argv[1:])()
    except RowplaneError as error:
        console = Console(stderr=True, highlight=False)
        console.print("error:", style="bold red", end=" ")
        console.print(error.text, markup=False, soft_wrap=True)
        if error.mend:
            console.print("  mend:", style="bold", end=" ")
            console.print(error.mend, markup=False, soft_wrap=True)
        sys.exit(error.exit_code)
