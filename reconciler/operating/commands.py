"""`rowplane status`, `get`, `tree`, `explain-wait`, `pause`, `resume`, `approve`, `switch-now`, `rbac`, `uninstall`.

Fed by: the command line and the environment. Feeds: the actions, a module a command. Never: contains logic. Their
imports stand in the commands, so that help, and the shell that completes a word, wait for none of them.
"""

from __future__ import annotations

from typing import Annotated

import typer

from reconciler.authoring.options import Format

__all__ = ["app"]

app = typer.Typer()
get = typer.Typer(no_args_is_help=True, help="List what there is.")
app.add_typer(get, name="get")

Namespace = Annotated[str, typer.Option("-n", "--namespace", help="This namespace; all without it.", metavar="NS")]
Output = Annotated[Format, typer.Option("-o", "--output", help="How the result is printed.")]
Node = Annotated[str, typer.Argument(help="Name of the LynqNode, or the row's uid.", metavar="[NS/]NODE")]
FormName = Annotated[str, typer.Option("--form", help="The form, if the uid has several.", metavar="NAME")]
Targets = Annotated[list[str], typer.Argument(help="all, hub/NAME, form/NAME or node/NAME.", metavar="TARGET...")]


@app.command()
def status(*, namespace: Namespace = "", output: Output = Format.TEXT) -> None:
    """Show how the fleet stands: hubs, forms, who works, and the nodes that are not ready."""
    from reconciler.operating import overview  # noqa: PLC0415  # see the module's docstring

    overview.status(namespace, output)


@get.command()
def nodes(  # options
    *,
    hub: Annotated[str, typer.Option("--hub", help="Of this hub.", metavar="NAME")] = "",
    form: Annotated[str, typer.Option("--form", help="Of this form.", metavar="NAME")] = "",
    color: Annotated[str, typer.Option("--color", help="With this active color.")] = "",
    not_ready: Annotated[bool, typer.Option("--not-ready", help="Those that are not ready.")] = False,
    namespace: Namespace = "",
    output: Output = Format.TEXT,
) -> None:
    """List LynqNodes: row, form, resources ready, color, deployment status, when the row changed, why not ready."""
    from reconciler.operating import overview  # noqa: PLC0415  # see the module's docstring

    overview.get_nodes(namespace, overview.Filter(hub, form, color, not_ready=not_ready), output)


@app.command()
def tree(node: Node, *, form: FormName = "", namespace: Namespace = "", output: Output = Format.TEXT) -> None:
    """Show a row, its LynqNode and its objects, each with how it stands and what it waits for."""
    from reconciler.operating import tree as drawing  # noqa: PLC0415  # see the module's docstring

    drawing.tree(node, form, namespace, output)


@app.command()
def explain_wait(node: Node, *, form: FormName = "", namespace: Namespace = "", output: Output = Format.TEXT) -> None:
    """Say why a node is not as its row wants it, and what releases it."""
    from reconciler.operating import explaining  # noqa: PLC0415  # see the module's docstring

    explaining.explain_wait(node, form, namespace, output)


@app.command()
def pause(targets: Targets, *, namespace: Namespace = "") -> None:
    """Write nothing below these until they are resumed. Rows are still taken over."""
    from reconciler.operating import holding  # noqa: PLC0415  # see the module's docstring

    holding.pause(targets, namespace)


@app.command()
def resume(targets: Targets, *, namespace: Namespace = "") -> None:
    """Go on below these, with the rows as they are now."""
    from reconciler.operating import holding  # noqa: PLC0415  # see the module's docstring

    holding.resume(targets, namespace)


@app.command()
def approve(
    target: Annotated[str, typer.Argument(help="hub/NAME, form/NAME or node/NAME.", metavar="TARGET")],
    *,
    namespace: Namespace = "",
) -> None:
    """Let the deletions that are held now go on, and a form's failed rollout."""
    from reconciler.operating import holding  # noqa: PLC0415  # see the module's docstring

    holding.approve(target, namespace)


@app.command()
def switch_now(node: Node, *, form: FormName = "", namespace: Namespace = "") -> None:
    """Move a node's traffic to where its row wants it, without waiting for pods; for this state of the row alone."""
    from reconciler.operating import holding  # noqa: PLC0415  # see the module's docstring

    holding.switch_now(node, form, namespace)


@app.command()
def rbac(
    *,
    file: Annotated[
        list[str] | None, typer.Option("-f", "--file", help="Forms; without it, those of the cluster.", metavar="FILE")
    ] = None,
    process: Annotated[str, typer.Option("--for", help="reconciler or capture.")] = "reconciler",
    namespace: Annotated[
        str, typer.Option("-n", "--namespace", help="Of the process itself.", metavar="NS")
    ] = "rowplane-system",
) -> None:
    """Print the RBAC objects that a process needs, for exactly the kinds that the forms make."""
    from reconciler.operating import rights  # noqa: PLC0415  # see the module's docstring

    rights.rbac(file or (), process, namespace)


@app.command()
def uninstall(
    *,
    yes: Annotated[bool, typer.Option("-y", "--yes", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be let go.")] = False,
    namespace: Namespace = "",
) -> None:
    """Let go of all that was made, and leave it, so that the CRDs can be deleted without taking it along."""
    from reconciler.operating import uninstalling  # noqa: PLC0415  # see the module's docstring

    uninstalling.uninstall(namespace, yes=yes, dry_run=dry_run)
