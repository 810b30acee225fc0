"""MariaDB with a binary log as capture needs it, out of the distribution's own package.

Fed by: apt (mariadb-server). Feeds: `native`. Never: touches the machine's own MariaDB service or its data.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path

from deploy.stack import apt, databases
from deploy.stack.components import Component
from deploy.stack.endpoints import Database
from deploy.stack.errors import StackError
from deploy.stack.parts import Part, remove, run
from deploy.stack.paths import Paths

PORTS = {"mariadb": 23307}

_SERVER = Path("/usr/sbin/mariadbd")
_FLAGS = (
    "--user=root",
    "--bind-address=127.0.0.1",
    "--server-id=2",
    "--log-bin=binlog",
    "--sync-binlog=1",
    "--binlog-format=ROW",
    "--binlog-row-image=FULL",
    "--binlog-row-metadata=FULL",
    "--gtid-strict-mode=ON",
    "--max-connections=500",
)


def parts(paths: Paths) -> list[Part]:
    """Return what has to be installed; the part itself is a note that it was done."""

    def build(temporary: Path) -> None:
        apt.install(["mariadb-server"])
        if not _SERVER.exists():
            raise StackError(f"mariadb-server is installed but {_SERVER} is missing; reinstall the package")
        temporary.write_text("installed by the package manager\n", encoding="utf-8")

    note = paths.cache / "mariadb"
    return [Part("mariadb", "installing MariaDB", note, "mariadb-server 1", build, witness=_SERVER)]


def component(paths: Paths, ports: Mapping[str, int]) -> tuple[Component, Database]:
    """Return the server and its administrator."""
    database = databases.credentials(paths.run / "mariadb.password", ports["mariadb"])
    data = paths.data / "mariadb"
    socket = databases.socket_path(paths.run, "mariadb")

    def prepare() -> None:
        if data.exists():
            return
        fresh = data.with_name("mariadb.part")
        remove(fresh)
        installer = shutil.which("mariadb-install-db") or "/usr/bin/mariadb-install-db"
        options = ["--no-defaults", "--user=root", f"--datadir={fresh}", "--skip-test-db"]
        run(
            [installer, *options, "--auth-root-authentication-method=normal"],
            subject="initialising the data of MariaDB",
            mend="run `make stack-down PURGE=1` and try again",
        )
        fresh.rename(data)

    own = (f"--datadir={data}", f"--socket={socket}", f"--pid-file={data / 'mariadbd.pid'}")
    return (
        Component(
            name="mariadb",
            argv=(str(_SERVER), "--no-defaults", *own, f"--port={ports['mariadb']}", *_FLAGS),
            port=ports["mariadb"],
            prepare=prepare,
            answers=lambda: databases.answers(database, socket),
        ),
        database,
    )
