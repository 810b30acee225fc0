"""The process of one part.

What it has measured so far is always in build/bench/parts/<part>.json, so that nothing is lost when it is ended.
Fed by: the stack, the catalog of parts. Feeds: the part's file. Never: leaves processes behind when it is terminated.
"""

from __future__ import annotations

import signal
import sys
import time
from datetime import UTC, datetime
from typing import Annotated, Final, NoReturn

import typer

from deploy.stack.endpoints import load_endpoints
from shared.kube import KubeClient
from shared.settings import KubeSettings
from tests.bench.catalog import BY_NAME
from tests.bench.frame import Part, PartResult, Settings
from tests.bench.machine import commit, load
from tests.bench.report import file_of, write

ENDED: Final = "it was ended before its end"


def wishes(sizes: list[str]) -> dict[str, int]:
    """`part.name=number` → number by name. Raises typer.BadParameter."""
    found = {}
    for text in sizes:
        name, _, number = text.partition("=")
        if not number.isdigit() or name.partition(".")[0] not in BY_NAME:
            raise typer.BadParameter(f"{text!r} is not <part>.<size>=<number>; parts: {', '.join(BY_NAME)}")
        found[name] = int(number)
    return found


def _terminated(number: int, _frame: object) -> NoReturn:
    raise SystemExit(f"ended by {signal.Signals(number).name}")


def main(
    name: Annotated[str, typer.Argument(help="Name of the part.", metavar="PART")],
    quick: Annotated[bool, typer.Option(help="Few samples.")] = False,
    size: Annotated[list[str] | None, typer.Option(help="A size of it: <part>.<size>=<number>.")] = None,
) -> None:
    """Measure one part on the local stack."""
    endpoints = load_endpoints()
    if endpoints is None or name not in BY_NAME:
        sys.exit("the stack is not up: run `make stack` first" if endpoints is None else f"there is no part {name}")
    signal.signal(signal.SIGTERM, _terminated)  # so that whoever has started processes ends them
    spec = BY_NAME[name]
    now = datetime.now(UTC).isoformat(timespec="seconds")
    result = PartResult(
        name=name, title=spec.title, quick=quick, commit=commit(), measured_at=now, load_before=load(),
        failed=ENDED,
    )  # fmt: skip
    path = file_of(name)
    client = KubeClient.connect(KubeSettings(str(endpoints.kubeconfig)))
    settings = Settings(endpoints, client, quick, wishes(size or []))
    begun_s = time.monotonic()

    def changed() -> None:
        result.took_s = round(time.monotonic() - begun_s, 1)
        write(path, result)

    changed()
    try:
        spec.run(settings, Part(spec, result, settings, changed))
        result.failed = ""
    except BaseException as error:  # told, and raised again
        result.failed = f"{type(error).__name__}: {error}"
        raise
    finally:
        changed()
        client.close()
