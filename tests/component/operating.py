"""The operator's commands in a process of their own, with the settings of a capture test's world.

Fed by: tests. Feeds: assertions, with what was printed and the exit code. Never: lets a traceback pass.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from tests.component.conftest import ROOT, CaptureWorld

COMMAND: Final = Path(sys.executable).parent / "rowplane"


def environment(world: CaptureWorld, **env: str) -> dict[str, str]:
    """What the command is to know, and nothing of this process's own."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "COLUMNS": "80",
        "KUBECONFIG": str(world.endpoints.kubeconfig),
        "ROWPLANE_KAFKA_BOOTSTRAP_SERVERS": world.endpoints.kafka_bootstrap_servers,
        "ROWPLANE_TOPIC_PREFIX": world.name,
        "ROWPLANE_NAMESPACE": world.name,
        "ROWPLANE_GROUP": world.name,
        **env,
    }


def rowplane(world: CaptureWorld, *arguments: str, stdin: str = "", **env: str) -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    answer = subprocess.run(
        [str(COMMAND), *arguments],
        env=environment(world, **env),
        cwd=ROOT,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert "Traceback" not in answer.stderr
    assert str(world.server.password) not in answer.stdout + answer.stderr
    return answer


def data(answer: subprocess.CompletedProcess[str]) -> Any:
    """Of `-o json`."""
    return json.loads(answer.stdout)
