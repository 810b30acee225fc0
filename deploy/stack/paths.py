"""Where the stack keeps what it builds and what it runs.

Fed by: `ROWPLANE_CACHE`. Feeds: every other module of this package. Never: creates anything outside the
cache directory.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Paths:
    """The directories of one stack; everything lies under `cache`."""

    cache: Path
    """Built and downloaded parts, kept for the next start and shared by all checkouts."""

    @property
    def bin(self) -> Path:
        """Programs built from Go modules."""
        return self.cache / "bin"

    @property
    def stamps(self) -> Path:
        """One file per finished part, holding the digest of its recipe."""
        return self.cache / "stamps"

    @property
    def run(self) -> Path:
        """State of the running stack: pid files, logs, data, credentials (mode 0700)."""
        return self.cache / "run"

    @property
    def data(self) -> Path:
        """One directory per server that keeps data."""
        return self.run / "data"

    @property
    def endpoints(self) -> Path:
        """The file that tells tests and the demo where the servers are."""
        return self.run / "endpoints.json"

    @property
    def product(self) -> Path:
        """The file that tells where the product's own processes serve their metrics."""
        return self.run / "product.json"

    def create(self) -> None:
        """Make the directories; the run directory is closed to other users because it holds passwords."""
        for directory in (self.cache, self.bin, self.stamps, self.run, self.data):
            directory.mkdir(parents=True, exist_ok=True)
        self.run.chmod(0o700)


def default_paths(environ: Mapping[str, str] = os.environ) -> Paths:
    """Return the paths under `ROWPLANE_CACHE`, or under ~/.cache/rowplane without it."""
    chosen = environ.get("ROWPLANE_CACHE")
    return Paths(Path(chosen).expanduser().resolve() if chosen else Path.home() / ".cache" / "rowplane")


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, all at once: readers see the old text or the new."""
    temporary = path.with_name(f"{path.name}.part-{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
    temporary.replace(path)
