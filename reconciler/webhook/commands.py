"""`rowplane webhook`: the admission webhook's process.

Fed by: the command line and the environment. Feeds: app.py. Never: contains logic.
"""

from __future__ import annotations

from typing import Annotated

import typer

from reconciler.webhook.app import run
from reconciler.webhook.manifests import Target
from reconciler.webhook.registration import unregister as remove
from shared import logs
from shared.kube import KubeClient
from shared.lifecycle import install_stop_event
from shared.settings import load_kube, load_probes, load_webhook

__all__ = ["app"]

app = typer.Typer()


@app.command()
def webhook(
    unregister: Annotated[
        bool, typer.Option("--unregister", help="Remove its webhook configurations from the cluster, and end.")
    ] = False,
) -> None:
    """Judge and complete hubs and forms before the API server stores them. Runs until SIGTERM."""
    settings, kube = load_webhook(), load_kube()
    if unregister:
        client = KubeClient.connect(kube)
        for name in remove(client, Target.of(settings, kube.namespace)):
            typer.echo(f"removed {name}")
        return
    stop = install_stop_event()
    logs.configure("webhook")
    run(settings, kube, load_probes(), stop)
