"""Data of empty database servers: made once in a test session, copied for every further server of the kind.

Fed by: the recipes of the local stack. Feeds: servers of tests' own. Never: gives two servers one identity.
"""

from __future__ import annotations

import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Final

from deploy.stack.components import Component

__all__ = ["prepare_data"]

_IDENTITY: Final = "auto.cnf"
"""Where MySQL keeps its uuid: a server that has none makes one."""


@cache
def _copies() -> tempfile.TemporaryDirectory[str]:
    """Removed when the process ends."""
    return tempfile.TemporaryDirectory(prefix="rowplane-empty-")


def prepare_data(component: Component, data: Path) -> None:
    """As the component does it, which takes seconds, or by a copy of what it has done for another server."""
    copy = Path(_copies().name) / component.name
    if data.exists():
        return
    if copy.exists():
        shutil.copytree(copy, data)
    else:
        component.prepare()
        shutil.copytree(data, copy, ignore=shutil.ignore_patterns(_IDENTITY))
