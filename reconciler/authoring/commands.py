"""The commands of this package.

Fed by: the command line and the environment. Feeds: the modules beside it. Never: contains logic.
"""

from __future__ import annotations

import typer

__all__ = ["app"]

app = typer.Typer()
