"""`python -m deploy.demo`: entry point of `make demo`.

Fed by: the shell. Feeds: run.py. Never: shows a traceback for a missing stack.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.console import Console

from deploy.demo.run import Demo
from deploy.stack.endpoints import load
from deploy.stack.errors import StackError
from deploy.stack.paths import default_paths
from shared.errors import RowplaneError


def main(
    keep: Annotated[bool, typer.Option(help="Leave product, table and objects as they are at the end.")] = False,
) -> None:
    """Run the five steps of the blue/green pattern and measure them."""
    console = Console(highlight=False, soft_wrap=True)
    try:
        Demo(default_paths(), load(), console).run(keep=keep)
    except (StackError, RowplaneError) as error:
        console.print(f"[bold red]error:[/] {error}")
        sys.exit(getattr(error, "exit_code", 1))
    except KeyboardInterrupt:
        console.print("stopped; `make demo` starts afresh")
        sys.exit(130)


typer.run(main)
