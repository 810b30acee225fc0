"""MySQL with a binary log as capture needs it, out of Debian's or Ubuntu's own packages.

Fed by: debootstrap, which unpacks the server with the libraries that it was built for into the cache. Feeds:
`native`. Never: installs MySQL into the machine itself or touches one that is there.
"""

import os
import platform
from collections.abc import Mapping
from pathlib import Path

from deploy.stack import apt, databases
from deploy.stack.components import Component
from deploy.stack.endpoints import Database
from deploy.stack.errors import StackError
from deploy.stack.parts import Part, remove, run
from deploy.stack.paths import Paths

PORTS = {"mysql": 23306}

_UBUNTU_WITH_8_4 = (25, 4)  # older releases have 8.0
_FLAGS = (
    "--user=root",
    "--secure-file-priv=NULL",
    "--mysqlx=OFF",
    "--bind-address=127.0.0.1",
    "--server-id=1",
    "--log-bin=binlog",
    "--sync-binlog=1",
    "--gtid-mode=ON",
    "--enforce-gtid-consistency=ON",
    "--binlog-row-image=FULL",
    "--binlog-row-metadata=FULL",
    "--max-connections=500",
)


def parts(paths: Paths) -> list[Part]:
    """Return what has to be fetched: a minimal system tree that holds the server."""
    suite, package = distribution()
    target = paths.cache / "mysql-root"

    def build(temporary: Path) -> None:
        if os.geteuid() != 0:
            raise StackError("unpacking MySQL needs root (debootstrap); run `make stack` as root")
        apt.install(["debootstrap"])
        _unpack(temporary, suite, package)
        for waste in ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/locale"):
            remove(temporary / waste)

    return [Part("mysql", f"unpacking {package} of {suite}", target, f"{suite} {package} 1", build)]


def _unpack(target: Path, suite: str, package: str) -> None:
    """Run debootstrap with its own idea of a mirror, and if that fails with the mirrors of this machine."""
    command = ["debootstrap", "--variant=minbase", f"--include={package}", suite, str(target)]
    codename = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    attempts = [command, *([*command, mirror] for mirror in apt.mirrors(codename))]
    for number, attempt in enumerate(attempts, start=1):
        try:
            run(
                attempt,
                subject=f"debootstrap of {suite} with {package}",
                mend="check that the distribution's package mirror answers",
            )
        except StackError:
            remove(target)
            if number == len(attempts):
                raise
        else:
            return


def distribution(os_release: Mapping[str, str] | None = None) -> tuple[str, str]:
    """Return suite and package that hold a MySQL server for this machine.

    Debian 12 has no MySQL, its development suite has; Ubuntu has one in every release. Raises StackError on
    any other distribution.
    """
    known = platform.freedesktop_os_release() if os_release is None else os_release
    for name in (known.get("ID", ""), *known.get("ID_LIKE", "").split()):
        if name == "debian":
            return "sid", "mysql-server-core"
        if name == "ubuntu":
            numbers = tuple(int(part) for part in known.get("VERSION_ID", "").split(".") if part.isdecimal())
            series = "8.4" if numbers >= _UBUNTU_WITH_8_4 else "8.0"
            suite = known.get("UBUNTU_CODENAME") or known.get("VERSION_CODENAME", "")
            return suite, f"mysql-server-core-{series}"
    raise StackError(
        f"no recipe for MySQL on {known.get('PRETTY_NAME', 'this system')}; use Debian 12 or Ubuntu, "
        "or a Docker engine, or give a server by ROWPLANE_STACK_MYSQL_HOST"
    )


def component(paths: Paths, ports: Mapping[str, int]) -> tuple[Component, Database]:
    """Return the server and its administrator."""
    database = databases.credentials(paths.run / "mysql.password", ports["mysql"])
    data = paths.data / "mysql"
    socket = databases.socket_path(paths.run, "mysql")

    def prepare() -> None:
        if data.exists():
            return
        fresh = data.with_name("mysql.part")
        remove(fresh)
        run(
            [*_program(paths), f"--datadir={fresh}", *_FLAGS, "--initialize-insecure"],
            subject="initialising the data of MySQL",
            mend="run `make stack-down PURGE=1` and try again",
        )
        fresh.rename(data)

    own = (f"--datadir={data}", f"--socket={socket}", f"--pid-file={data / 'mysqld.pid'}")
    return (
        Component(
            name="mysql",
            argv=(*_program(paths), *own, f"--port={ports['mysql']}", *_FLAGS),
            port=ports["mysql"],
            prepare=prepare,
            answers=lambda: databases.answers(database, socket),
        ),
        database,
    )


def _program(paths: Paths) -> list[str]:
    """Return how to run the server with the dynamic linker and the libraries of its own tree (ld.so(8)).

    Run this way it needs neither chroot nor the tree's other programs, and its data may lie anywhere.
    """
    root = paths.cache / "mysql-root"
    linkers = sorted((root / "usr").glob("lib*/ld-linux-*.so.*")) + sorted(
        (root / "usr/lib").glob("*-linux-gnu/ld-linux-*.so.*")
    )
    libraries = sorted((root / "usr/lib").glob("*-linux-gnu"))
    if not linkers or not libraries:
        raise StackError(f"{root} holds no dynamic linker; remove that directory and run `make stack` again")
    mysqld = root / "usr/sbin/mysqld"
    load = [str(linkers[0]), "--library-path", str(libraries[0]), str(mysqld)]
    return [*load, "--no-defaults", f"--basedir={root / 'usr'}"]
