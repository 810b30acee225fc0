"""The parts of the benchmarks, in the order in which they run.

Fed by: each part's `SPEC`. Feeds: one.py, the command, docs/benchmark-keys.md. Never: measures.
"""

from __future__ import annotations

from typing import Final

from tests.bench import bursts, capture, fleet, footprint, micro, polling, scaleout, switch
from tests.bench.frame import Spec

USUAL: Final[tuple[Spec, ...]] = (switch.SPEC, polling.SPEC, capture.SPEC, micro.SPEC)
"""What `make bench` and `make bench-quick` run."""
LONG: Final[tuple[Spec, ...]] = (bursts.SPEC, fleet.SPEC, scaleout.SPEC, footprint.SPEC)
"""What takes a command of its own, by `--only`."""
ALL: Final = (*USUAL, *LONG)
BY_NAME: Final = {spec.name: spec for spec in ALL}
