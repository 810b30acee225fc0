"""`rowplane reconcile`: the consumer process.

Fed by: the command line and the environment. Feeds: app.py. Never: contains logic. Imports stand in the command, so
that help waits for no client.
"""

from __future__ import annotations

import typer

__all__ = ["app"]

app = typer.Typer()


@app.command()
def reconcile() -> None:
    """Read change topics and apply the resources of the affected nodes. Runs until SIGTERM."""
    from reconciler.app import run  # noqa: PLC0415  # see the module's docstring
    from shared import logs  # noqa: PLC0415
    from shared.lifecycle import install_stop_event  # noqa: PLC0415
    from shared.memory import collect_seldom, share_heaps  # noqa: PLC0415
    from shared.settings import load_kafka, load_kube, load_probes  # noqa: PLC0415

    share_heaps()
    collect_seldom()
    stop = install_stop_event()
    logs.configure("reconciler")
    run(load_kafka(), load_kube(), load_probes(), stop)
