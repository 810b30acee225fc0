"""`rowplane validate`, `render`, `diff` and `explain`.

Fed by: the command line and the environment. Feeds: actions.py and actions_live.py. Never: contains logic. Their
imports stand in the commands, so that help, and the shell that completes a word, wait for none of them.
"""

from __future__ import annotations

from typing import Annotated

import typer

from reconciler.authoring.options import Format, RowOptions, check_stdin

__all__ = ["app"]

app = typer.Typer()

Files = Annotated[
    list[str] | None,
    typer.Option("-f", "--filename", help="File, directory, or - for standard input; may be repeated.", metavar="PATH"),
]
HubFiles = Annotated[list[str] | None, typer.Option("--hub", help="File that holds the hub.", metavar="PATH")]
RowsFile = Annotated[str, typer.Option("--rows", help="CSV or JSON file with rows of the table, or -.", metavar="PATH")]
RowFlags = Annotated[list[str] | None, typer.Option("--row", help="One row, column by column.", metavar="COLUMN=VALUE")]
MoreColumns = Annotated[list[str] | None, typer.Argument(help="More columns of --row.", metavar="[COLUMN=VALUE]...")]
FormName = Annotated[str, typer.Option("--form", help="Only this form of the files.", metavar="NAME")]
Uid = Annotated[str, typer.Option("--uid", help="Only the row with this uid.", metavar="UID")]
Namespace = Annotated[str, typer.Option("-n", "--namespace", help="Of hubs and forms that name none.", metavar="NAME")]
Output = Annotated[Format, typer.Option("-o", "--output", help="How the result is printed.")]


@app.command()
def validate(  # noqa: PLR0913  # options
    columns: MoreColumns = None,
    *,
    files: Files = None,
    live: Annotated[bool, typer.Option("--live", help="Use hubs, forms and types of the cluster.")] = False,
    rows: RowsFile = "",
    row: RowFlags = None,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings fail, too.")] = False,
    namespace: Namespace = "default",
    output: Output = Format.TEXT,
) -> None:
    """Find what is wrong with hubs and forms before the cluster does."""
    from reconciler.authoring import actions  # noqa: PLC0415  # see the module's docstring

    options = RowOptions(rows, tuple(row or ()), tuple(columns or ()))
    check_stdin(files, rows)
    actions.validate(files, options, namespace, output, live=live, strict=strict)


@app.command()
def render(  # noqa: PLR0913  # options
    columns: MoreColumns = None,
    *,
    files: Files = None,
    hub: HubFiles = None,
    rows: RowsFile = "",
    row: RowFlags = None,
    form: FormName = "",
    uid: Uid = "",
    namespace: Namespace = "default",
    output: Output = Format.YAML,
) -> None:
    """Print the objects that forms make of given rows, in the order in which they are applied."""
    from reconciler.authoring import actions  # noqa: PLC0415  # see the module's docstring

    options = RowOptions(rows, tuple(row or ()), tuple(columns or ()), uid)
    check_stdin([*(files or ()), *(hub or ())], rows)
    actions.render([*(files or ()), *(hub or ())], form, options, namespace, output)


@app.command()
def diff(  # noqa: PLR0913  # options
    columns: MoreColumns = None,
    *,
    files: Files = None,
    hub: HubFiles = None,
    rows: RowsFile = "",
    row: RowFlags = None,
    form: FormName = "",
    uid: Uid = "",
    namespace: Namespace = "default",
    output: Output = Format.TEXT,
) -> None:
    """Show what forms would change in the cluster, for its own nodes or for given rows. Changes nothing."""
    from reconciler.authoring import actions_live  # noqa: PLC0415  # see the module's docstring

    options = RowOptions(rows, tuple(row or ()), tuple(columns or ()), uid)
    check_stdin([*(files or ()), *(hub or ())], rows)
    actions_live.diff([*(files or ()), *(hub or ())], form, options, namespace, output)


@app.command()
def explain(  # noqa: PLR0913  # options
    columns: MoreColumns = None,
    *,
    files: Files = None,
    live: Annotated[str, typer.Option("--live", help="A hub of the cluster, with its forms.", metavar="HUB")] = "",
    rows: RowsFile = "",
    row: RowFlags = None,
    namespace: Namespace = "default",
    output: Output = Format.TEXT,
) -> None:
    """Show the variables that forms of a hub may use: their columns, their uses, sample values."""
    from reconciler.authoring import actions  # noqa: PLC0415  # see the module's docstring

    options = RowOptions(rows, tuple(row or ()), tuple(columns or ()))
    check_stdin(files, rows)
    actions.explain(files, live, options, namespace, output)
