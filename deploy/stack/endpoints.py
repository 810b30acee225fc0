"""Where the stack's servers are: the one interface between the stack and everybody who uses it.

Fed by: the file that `make stack` writes, overridden by `ROWPLANE_STACK_*` variables. Feeds: tests, the
demo, `make stack-env`. Never: starts or checks anything.
"""

import json
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from deploy.stack.errors import StackError
from deploy.stack.paths import Paths, default_paths, write_private

PREFIX = "ROWPLANE_STACK_"
REQUIRED = (
    "KUBECONFIG",
    "MYSQL_HOST",
    "MYSQL_PORT",
    "MYSQL_USER",
    "MYSQL_PASSWORD",
    "KAFKA_BOOTSTRAP_SERVERS",
)


@dataclass(frozen=True, slots=True)
class Database:
    """A MySQL or MariaDB server and an account that may do everything there."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The servers of a stack."""

    kubeconfig: Path
    """Kubeconfig file of a cluster administrator."""
    mysql: Database
    kafka_bootstrap_servers: str
    """host:port pairs, comma separated; plain text listeners."""
    mariadb: Database | None = None
    """The second database server; a stack given from outside may have none."""
    way: str = "native"
    """How the stack runs: native, docker or external."""


def load_endpoints(paths: Paths | None = None, environ: Mapping[str, str] = os.environ) -> Endpoints | None:
    """Return the endpoints of the running stack, None if no stack is known.

    A `ROWPLANE_STACK_*` variable overrides the file value by value; if the variables name every server, the
    file is not looked at. Raises StackError if a value is missing or unfit.
    """
    where = paths or default_paths(environ)
    stored = {} if is_external(environ) else _read(where.endpoints)
    mysql = _database("MYSQL", stored.get("mysql"), environ)
    if mysql is None:
        return None
    return Endpoints(
        kubeconfig=Path(_value("KUBECONFIG", stored.get("kubeconfig"), environ)),
        mysql=mysql,
        kafka_bootstrap_servers=_value("KAFKA_BOOTSTRAP_SERVERS", stored.get("kafka_bootstrap_servers"), environ),
        mariadb=_database("MARIADB", stored.get("mariadb"), environ),
        way=str(stored.get("way", "external")),
    )


def load(paths: Paths | None = None, environ: Mapping[str, str] = os.environ) -> Endpoints:
    """Return the endpoints of the running stack; raises StackError if no stack is known."""
    found = load_endpoints(paths, environ)
    if found is None:
        raise StackError(_missing("MYSQL_HOST"))
    return found


def is_external(environ: Mapping[str, str]) -> bool:
    """Tell whether the variables name every server that a stack must have (MariaDB is optional)."""
    return all(environ.get(PREFIX + name) for name in REQUIRED)


def save(paths: Paths, endpoints: Endpoints) -> None:
    """Write the endpoints file, readable by its owner alone (it holds passwords)."""
    document = asdict(endpoints) | {"kubeconfig": str(endpoints.kubeconfig)}
    write_private(paths.endpoints, json.dumps(document, indent=1))


def shell_exports(endpoints: Endpoints, metrics_urls: Sequence[str] = ()) -> str:
    """Return `export NAME=value` lines, quoted for a POSIX shell."""
    values = {"KUBECONFIG": str(endpoints.kubeconfig)}
    for prefix, database in (("MYSQL", endpoints.mysql), ("MARIADB", endpoints.mariadb)):
        if database is not None:
            values |= {
                f"{prefix}_HOST": database.host,
                f"{prefix}_PORT": str(database.port),
                f"{prefix}_USER": database.user,
                f"{prefix}_PASSWORD": database.password,
            }
    for prefix in ("", "ROWPLANE_"):
        values[f"{prefix}KAFKA_BOOTSTRAP_SERVERS"] = endpoints.kafka_bootstrap_servers
    values["METRICS_URLS"] = ",".join(metrics_urls)
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in values.items())


def metrics_urls(paths: Paths) -> list[str]:
    """Return the metrics addresses of the product's processes, none if it is not up."""
    return [str(url) for url in _read(paths.product).get("metrics_urls", [])]


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except json.JSONDecodeError as error:
        raise StackError(f"{path} is not readable as JSON; run `make stack` to write it anew") from error
    return document if isinstance(document, dict) else {}


def _database(name: str, stored: Mapping[str, Any] | None, environ: Mapping[str, str]) -> Database | None:
    """Return a database from the file and the variables; None if neither says anything about it."""
    known: Mapping[str, Any] = stored or {}
    keys = ("HOST", "PORT", "USER", "PASSWORD")
    if not known and not any(environ.get(f"{PREFIX}{name}_{key}") for key in keys):
        return None
    host, port, user, password = (_value(f"{name}_{key}", known.get(key.lower()), environ) for key in keys)
    if not port.isdecimal():
        raise StackError(f"{PREFIX}{name}_PORT is {port!r}; set it to a port number")
    return Database(host, int(port), user, password)


def _value(name: str, stored: object, environ: Mapping[str, str]) -> str:
    given = environ.get(PREFIX + name)
    if given:
        return given
    if stored is None:
        raise StackError(_missing(name))
    return str(stored)


def _missing(name: str) -> str:
    return f"no stack is known: run `make stack`, or set {PREFIX}{name}"
