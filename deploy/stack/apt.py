"""Install missing Debian or Ubuntu packages, without starting their services.

Fed by: the package names that a part needs. Feeds: the machine's package manager. Never: upgrades what is
installed, starts a service, or runs when nothing is missing.
"""

import os
import re
import shutil
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

from deploy.stack.errors import StackError
from deploy.stack.parts import run

_LOCK_WAIT_S = 300
_POLICY = Path("/usr/sbin/policy-rc.d")
_once = threading.Lock()
_updated = threading.Event()


def installed(package: str) -> bool:
    """Tell whether dpkg has this package fully installed."""
    try:
        status = run(["dpkg-query", "-W", "-f", "${Status}", package], subject="dpkg-query", mend="")
    except StackError:
        return False
    return status.strip() == "install ok installed"


def install(packages: Sequence[str]) -> None:
    """Install the packages of the list that are missing.

    Waits up to 300 s for another run of the package manager; after a failure the package lists are read anew
    and the installation is tried once more. Raises StackError if it fails again, or without root.
    """
    with _once:  # the package manager has one lock; our own threads queue here
        missing = [package for package in packages if not installed(package)]
        if not missing:
            return
        if shutil.which("apt-get") is None:
            raise StackError(f"no apt-get here to install {' '.join(missing)}; use Debian 12 or Ubuntu")
        if os.geteuid() != 0:
            raise StackError(f"{' '.join(missing)} missing: run `sudo apt-get install {' '.join(missing)}`")
        try:
            _install(missing)
        except StackError:
            _updated.clear()
            _install(missing)


def mirrors(codename: str, directory: Path = Path("/etc/apt")) -> list[str]:
    """Return the addresses from which this machine takes the packages of its own release.

    Reads both forms of sources.list(5): lines (`deb [options] URI suite components`) and stanzas (`URIs:`,
    `Suites:`). Only http and https mirrors are returned, each once.
    """
    found: list[str] = []
    lists = [directory / "sources.list", *sorted((directory / "sources.list.d").glob("*.list"))]
    for file in lists:
        for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
            words = re.sub(r"\[[^]]*\]", "", line).split()
            if words[:1] == ["deb"] and words[2:3] == [codename]:
                found.append(words[1])
    for file in sorted((directory / "sources.list.d").glob("*.sources")):
        for stanza in re.split(r"\n\s*\n", file.read_text(encoding="utf-8")):
            fields = {name: value.split() for name, value in re.findall(r"(?m)^(\w+):(.*)$", stanza)}
            if codename in fields.get("Suites", ()):
                found.extend(fields.get("URIs", ()))
    return list(dict.fromkeys(uri for uri in found if uri.startswith(("http://", "https://"))))


def _install(packages: Sequence[str]) -> None:
    wait = ["-o", f"DPkg::Lock::Timeout={_LOCK_WAIT_S}"]
    environ = dict(os.environ) | {"DEBIAN_FRONTEND": "noninteractive"}
    if not _updated.is_set():
        run(["apt-get", *wait, "update", "-q"], subject="apt-get update", mend="check the package sources")
        _updated.set()
    with tempfile.TemporaryDirectory() as directory:
        created = _forbid_services(Path(directory))
        try:
            run(
                ["apt-get", *wait, "install", "-y", "-q", "--no-install-recommends", *packages],
                subject=f"apt-get install {' '.join(packages)}",
                mend="mend what apt-get says below and run `make stack` again",
                environ=environ,
            )
        finally:
            if created:
                _POLICY.unlink(missing_ok=True)


def _forbid_services(directory: Path) -> bool:
    """Put a policy in place that keeps packages from starting services (Debian policy-rc.d, status 101).

    Returns whether the file is ours to remove; one that is already there is left as it is.
    """
    if _POLICY.exists():
        return False
    draft = directory / "policy-rc.d"
    draft.write_text("#!/bin/sh\nexit 101\n", encoding="utf-8")
    draft.chmod(0o755)
    shutil.move(draft, _POLICY)
    return True
