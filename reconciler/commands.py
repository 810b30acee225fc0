"""`rowplane reconcile`: the consumer process.

Fed by: the command line and the environment. Feeds: app.py. Never: contains logic.
"""

from __future__ import annotations

import typer

from reconciler.app import run
from shared import logs
from shared.lifecycle import install_stop_event
from shared.settings import load_kafka, load_kube, load_probes

__all__ = ["app"]

app = typer.Typer()


@app.command()
def reconcile() -> None:
    """Read change topics and apply the resources of the affected nodes. Runs until SIGTERM."""
    stop = install_stop_event()
    logs.configure("reconciler")
    run(load_kafka(), load_kube(), load_probes(), stop)
