"""`rowplane webhook`: the admission webhook's process.

Fed by: the command line and the environment. Feeds: app.py. Never: contains logic. Imports stand in the command, so
that help waits for no client.
"""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer()


@app.command()
def webhook(
    unregister: Annotated[
        bool, typer.Option("--unregister", help="Remove its webhook configurations from the cluster, and end.")
    ] = False,
) -> None:
    """Judge and complete hubs and forms before the API server stores them. Runs until SIGTERM."""
    from reconciler.webhook.app import run  # noqa: PLC0415  # see the module's docstring
    from reconciler.webhook.manifests import Target  # noqa: PLC0415
    from reconciler.webhook.registration import unregister as remove  # noqa: PLC0415
    from shared import logs  # noqa: PLC0415
    from shared.kube import KubeClient  # noqa: PLC0415
    from shared.lifecycle import install_stop_event  # noqa: PLC0415
    from shared.memory import share_heaps  # noqa: PLC0415
    from shared.settings import load_kube, load_probes, load_webhook  # noqa: PLC0415

    settings, kube = load_webhook(), load_kube()
    if unregister:
        client = KubeClient.connect(kube)
        for name in remove(client, Target.of(settings, kube.namespace)):
            typer.echo(f"removed {name}")
        return
    share_heaps()
    stop = install_stop_event()
    logs.configure("webhook")
    run(settings, kube, load_probes(), stop)
