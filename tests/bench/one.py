"""`python -m tests.bench.one <part>`: one part, in this process.

Fed by: the command line. Feeds: process.py. Never: imports a part before it is known to be the main process; the
processes that a part spawns import this module, too.
"""

from __future__ import annotations

import typer

if __name__ == "__main__":
    from tests.bench.process import main

    typer.run(main)
