"""The command line of the stack: `python -m deploy.stack up`.

Fed by: the Makefile and people. Feeds: `native`, `docker`, `external`, `product`. Never: shows a traceback
for what a StackError explains.
"""

import sys
import time
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from deploy.stack import docker, endpoints, external, native, product, status, ways
from deploy.stack.errors import StackError
from deploy.stack.paths import default_paths

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="A real MySQL, MariaDB, Kafka and Kubernetes on 127.0.0.1.",
)
_console = Console(highlight=False, soft_wrap=True)


@app.command()
def up() -> None:
    """Bring up what is not up: MySQL, MariaDB, Kafka and Kubernetes."""
    started = time.monotonic()
    paths = default_paths()
    way = ways.choose()
    _console.print(f"stack: {way}")
    if way == ways.Way.EXTERNAL:
        external.check(paths)
    elif way == ways.Way.DOCKER:
        docker.up(paths)
    else:
        native.up(paths, say=_console.print)
    seconds = time.monotonic() - started
    _console.print(f'stack is up after {seconds:.1f} s; for clients: eval "$(make -s stack-env)"')


@app.command(name="status")
def show_status() -> None:
    """Show every process with its pid, port, uptime and memory."""
    paths = default_paths()
    if ways.running(paths) == ways.Way.DOCKER:
        _console.print(docker.listing(paths), markup=False)
    table = Table("process", "state", "pid", "port", "uptime", "memory")
    rows = status.rows(paths)
    for row in rows:
        table.add_row(*row.cells())
    _console.print(table if rows else "nothing of ours runs; `make stack` starts it", markup=False)


@app.command()
def down(
    purge: Annotated[bool, typer.Option("--purge", help="also remove data, logs and credentials")] = False,
) -> None:
    """Stop what we started; data and built programs are kept."""
    paths = default_paths()
    product.down(paths)
    if ways.running(paths) == ways.Way.DOCKER:
        docker.down(paths, purge=purge)
    stopped = native.down(paths, purge=purge)
    _console.print(f"stopped: {', '.join(stopped) or 'nothing was running'}")


@app.command()
def env() -> None:
    """Print shell exports that point clients at the stack."""
    paths = default_paths()
    sys.stdout.write(endpoints.shell_exports(endpoints.load(paths), endpoints.metrics_urls(paths)) + "\n")


@app.command()
def doctor() -> None:
    """Tell which way the stack would run here and what is missing for it."""
    table = Table("what", "found", "good enough")
    for finding in status.doctor(default_paths()):
        table.add_row(finding.what, finding.found, "yes" if finding.good else finding.mend)
    _console.print(table, markup=False)


@app.command(name="product-up")
def product_up(
    reconcilers: Annotated[int, typer.Option(min=1, help="how many reconcilers to run")] = 2,
) -> None:
    """Start one capture and N reconcilers of this checkout against the running stack."""
    for url in product.up(default_paths(), reconcilers=reconcilers):
        _console.print(f"ready: {url}")


@app.command(name="product-down")
def product_down() -> None:
    """Stop the capture and the reconcilers."""
    stopped = product.down(default_paths())
    _console.print(f"stopped: {', '.join(stopped) or 'nothing was running'}")


def main() -> None:
    """Run the command line; a StackError becomes one message and exit status 1."""
    try:
        app()
    except StackError as error:
        Console(stderr=True, highlight=False, soft_wrap=True).print(f"error: {error}", markup=False)
        sys.exit(1)


if __name__ == "__main__":
    main()
