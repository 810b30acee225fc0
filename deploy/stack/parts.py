"""Build the parts of a stack once: each into a temporary name, renamed when whole, stamped by its recipe.

Fed by: part definitions of the servers' modules. Feeds: the cache directory. Never: leaves half a part under
its final name, and never rebuilds a part whose recipe has not changed.
"""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.stack.errors import StackError
from deploy.stack.paths import write_private

_TAIL_LINES = 12


@dataclass(frozen=True, slots=True)
class Part:
    """A file or directory in the cache that some recipe makes."""

    name: str
    title: str
    """What the progress line says, such as "building etcd 3.6.5"."""
    target: Path
    recipe: str
    """Every version, flag and file that decides what is built; a change of it means a rebuild."""
    build: Callable[[Path], None]
    """Makes the part at the given temporary path."""
    witness: Path | None = None
    """A file outside the cache without which the part is not there, such as an installed program."""

    @property
    def digest(self) -> str:
        """Return the digest of the recipe, which is the content of the stamp."""
        return hashlib.sha256(self.recipe.encode()).hexdigest()


def is_current(part: Part, stamps: Path) -> bool:
    """Tell whether the part is there and was made by this very recipe."""
    try:
        stamped = (stamps / part.name).read_text(encoding="utf-8")
    except FileNotFoundError:
        return False
    present = part.target.exists() and (part.witness is None or part.witness.exists())
    return stamped == part.digest and present


def make(part: Part, stamps: Path) -> None:
    """Build a part and put it under its final name; what an interrupted build left behind is removed."""
    part.target.parent.mkdir(parents=True, exist_ok=True)
    for leftover in part.target.parent.glob(f"{part.target.name}.part-*"):
        remove(leftover)
    temporary = part.target.with_name(f"{part.target.name}.part-{os.getpid()}")
    part.build(temporary)
    (stamps / part.name).unlink(missing_ok=True)
    remove(part.target)
    temporary.rename(part.target)
    write_private(stamps / part.name, part.digest)


def remove(path: Path) -> None:
    """Remove a file or a whole directory, if it is there.

    What an interrupted debootstrap left mounted below it (proc, sys) is unmounted first.
    """
    if path.is_dir() and not path.is_symlink():
        for mounted in reversed(_mounts_below(path)):
            run(["umount", str(mounted)], subject=f"unmounting {mounted}", mend="unmount it as root")
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _mounts_below(path: Path) -> list[Path]:
    """Return the mount points inside a directory in the order of their mounting (proc(5), mounts)."""
    lines = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    points = [Path(line.split()[1].encode().decode("unicode_escape")) for line in lines]
    return [point for point in points if point.is_relative_to(path.resolve()) and point != path.resolve()]


def run(
    argv: Sequence[str],
    *,
    subject: str,
    mend: str,
    cwd: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> str:
    """Run a command to its end and return its output.

    Raises StackError with the subject, the last lines of output and the mend if the command is missing or
    fails.
    """
    try:
        finished = subprocess.run(
            list(argv),
            cwd=cwd,
            env=None if environ is None else dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
    except OSError as error:
        raise StackError(f"{subject} failed: {argv[0]}: {error.strerror}; {mend}") from error
    if finished.returncode != 0:
        tail = "\n".join(finished.stdout.splitlines()[-_TAIL_LINES:])
        raise StackError(f"{subject} failed with status {finished.returncode}; {mend}\n{tail}")
    return finished.stdout
