"""Is a database server fit for capture? Facts in, findings out.

The names of parameters of managed databases are those of their vendors' manuals ("DB parameter group" of RDS, "DB
cluster parameter group" of Aurora, "database flags" of Cloud SQL).
Fed by: cdc.operating.adapters.database. Feeds: `rowplane check`. Never: asks the server.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from cdc.core.advice import check_grants
from cdc.operating.findings import Finding, Severity, ok
from shared.errors import SourceError
from shared.model.position import Flavour

__all__ = ["DatabaseFacts", "judge_database", "variable_names"]

WEEKEND_S: Final = 3 * 86400
"""An outage from Friday evening to Monday morning, and time to mend it."""
_LOWEST: Final = {Flavour.MYSQL: (8, 0), Flavour.MARIADB: (10, 6)}
_NAMES: Final = {Flavour.MYSQL: "MySQL", Flavour.MARIADB: "MariaDB"}
_POLLED: Final = "changes are not streamed: the whole table is read every syncInterval"


@dataclass(frozen=True, slots=True)
class DatabaseFacts:
    """What a server says to the account of a hub; None where it does not tell that account."""

    server: str
    """`host:port`."""
    user: str
    flavour: Flavour
    version: str
    """As VERSION() has it."""
    variables: Mapping[str, str]
    """Global variables by lower-case name."""
    grants: tuple[str, ...] = ()
    """Lines of SHOW GRANTS; may hold a password's hash."""
    replicas: tuple[int, ...] | None = None
    """server_id of each replica that is connected."""
    is_replica: bool | None = None
    """Whether it follows another server."""
    only_databases: str = ""
    """binlog-do-db: the databases that are logged, alone."""
    ignored_databases: str = ""
    """binlog-ignore-db."""
    xa_prepared: int | None = None
    """XA transactions that are prepared and neither committed nor rolled back."""
    free_sessions: tuple[str, ...] | None = field(default=None)
    """Accounts, beside the server's own, that may set binlog_format and the like for their sessions."""


@dataclass(frozen=True, slots=True)
class _Rule:
    """A global variable and the value that it should have."""

    name: str
    wanted: str
    flavours: tuple[Flavour, ...]
    severity: Severity
    why: str
    """What another value means."""
    mend: str
    managed: str


_BOTH: Final = (Flavour.MYSQL, Flavour.MARIADB)
_MYSQL: Final = (Flavour.MYSQL,)


def _parameter(name: str, value: str, *, cloud_sql: bool = True) -> str:
    text = f"RDS: DB parameter group, {name} = {value}; Aurora: DB cluster parameter group, {name} = {value}"
    return f"{text}; Cloud SQL: database flag {name}={value.lower()}" if cloud_sql else text


def _dynamic(name: str, value: str) -> str:
    return f"SET GLOBAL {name} = {value if value.isdigit() else f'{value!r}'}; and the same in its configuration file"


_RULES: Final = (
    _Rule(
        "log_bin",
        "ON",
        _BOTH,
        Severity.WARNING,
        _POLLED,
        "log_bin = ON in its configuration file, and restart it",
        "RDS: turn automated backups on; Aurora: DB cluster parameter group, binlog_format = ROW, and reboot;"
        " Cloud SQL: turn point-in-time recovery on",
    ),
    _Rule(
        "binlog_format",
        "ROW",
        _BOTH,
        Severity.WARNING,
        _POLLED,
        _dynamic("binlog_format", "ROW"),
        "RDS: DB parameter group, binlog_format = ROW; Aurora: DB cluster parameter group, binlog_format = ROW, and"
        " reboot; Cloud SQL has ROW always",
    ),
    _Rule(
        "binlog_row_image",
        "FULL",
        _BOTH,
        Severity.WARNING,
        f"an event does not hold the whole row, so {_POLLED}",
        _dynamic("binlog_row_image", "FULL"),
        _parameter("binlog_row_image", "FULL"),
    ),
    _Rule(
        "binlog_row_metadata",
        "FULL",
        _BOTH,
        Severity.WARNING,
        f"an event does not name its columns, so {_POLLED}",
        _dynamic("binlog_row_metadata", "FULL"),
        _parameter("binlog_row_metadata", "FULL"),
    ),
    _Rule(
        "binlog_row_value_options",
        "",
        _MYSQL,
        Severity.WARNING,
        "an UPDATE of a JSON column is logged as a patch, after which the table is compared again",
        "SET GLOBAL binlog_row_value_options = ''; and the same in its configuration file",
        _parameter("binlog_row_value_options", "(empty)", cloud_sql=False),
    ),
    _Rule(
        "gtid_mode",
        "ON",
        _MYSQL,
        Severity.WARNING,
        "a failover cannot be told from another database, and `rowplane wait --gtid` has nothing to wait for",
        "SET GLOBAL enforce_gtid_consistency = 'ON'; SET GLOBAL gtid_mode = 'OFF_PERMISSIVE'; SET GLOBAL gtid_mode ="
        " 'ON_PERMISSIVE'; SET GLOBAL gtid_mode = 'ON'; and gtid_mode = ON, enforce_gtid_consistency = ON in its"
        " configuration file",
        "RDS: DB parameter group, gtid_mode and enforce_gtid_consistency = ON (gtid-mode in older families); Aurora:"
        " the same in the DB cluster parameter group; Cloud SQL has it ON always",
    ),
    _Rule(
        "enforce_gtid_consistency",
        "ON",
        _MYSQL,
        Severity.WARNING,
        "a transaction may be logged without a GTID of its own",
        _dynamic("enforce_gtid_consistency", "ON"),
        _parameter("enforce_gtid_consistency", "ON", cloud_sql=False),
    ),
    _Rule(
        "sync_binlog",
        "1",
        _BOTH,
        Severity.WARNING,
        "a crash of its machine may lose the end of the binlog: the tables are then compared again",
        _dynamic("sync_binlog", "1"),
        _parameter("sync_binlog", "1"),
    ),
    _Rule(
        "innodb_flush_log_at_trx_commit",
        "1",
        _BOTH,
        Severity.WARNING,
        "a crash of its machine may take back transactions that were committed and published",
        _dynamic("innodb_flush_log_at_trx_commit", "1"),
        _parameter("innodb_flush_log_at_trx_commit", "1"),
    ),
    _Rule(
        "binlog_transaction_compression",
        "OFF",
        _MYSQL,
        Severity.NOTE,
        "every transaction is unpacked by capture, too",
        _dynamic("binlog_transaction_compression", "OFF"),
        _parameter("binlog_transaction_compression", "OFF", cloud_sql=False),
    ),
    _Rule(
        "log_bin_compress",
        "OFF",
        (Flavour.MARIADB,),
        Severity.NOTE,
        "every event is unpacked by capture, too",
        _dynamic("log_bin_compress", "OFF"),
        "RDS: DB parameter group, log_bin_compress = 0",
    ),
)
_ABSENT: Final = {"OFF": "OFF", "": ""}
"""What a variable counts as that the server does not know, by the value that is wanted."""
_RETENTION_MANAGED: Final = (
    "RDS, Aurora: CALL mysql.rds_set_configuration('binlog retention hours', 168); Cloud SQL: days of transaction logs"
    " of point-in-time recovery"
)


def variable_names() -> frozenset[str]:
    """Every global variable that the rules look at."""
    more = (
        "binlog_expire_logs_seconds",
        "expire_logs_days",
        "server_id",
        "log_replica_updates",
        "log_slave_updates",
        "max_binlog_total_size",
        "binlog_space_limit",
    )
    return frozenset((*(rule.name for rule in _RULES), *more))


def judge_database(facts: DatabaseFacts) -> list[Finding]:
    """Everything that is to be said of the server, in the order in which it is looked at."""
    subject = f"database {facts.server}"
    return [
        _version(subject, facts),
        *_variables(subject, facts),
        _retention(subject, facts),
        *_size_limit(subject, facts),
        _server_id(subject, facts),
        _grants(subject, facts),
        *_replica(subject, facts),
        *_filters(subject, facts),
        *_sessions(subject, facts),
        *_xa(subject, facts),
    ]


def _version(subject: str, facts: DatabaseFacts) -> Finding:
    name, lowest = _NAMES[facts.flavour], _LOWEST[facts.flavour]
    found = re.match(r"(\d+)\.(\d+)", facts.version)
    text = f"is {name} {facts.version}, reached as {facts.user}"
    if found and (int(found[1]), int(found[2])) < lowest:
        mend = f"Use {name} {'.'.join(map(str, lowest))} or later"
        return Finding(
            Severity.ERROR,
            "VersionUnsupported",
            subject,
            text,
            "it was never tried, and may lack what capture needs",
            mend,
        )
    return ok(subject, "Reachable", text)


def _variables(subject: str, facts: DatabaseFacts) -> Iterator[Finding]:
    is_logging = _value(facts, "log_bin", "ON") == "ON"
    for rule in _RULES:
        if facts.flavour not in rule.flavours or (not is_logging and rule.name != "log_bin"):
            continue
        value = _value(facts, rule.name, rule.wanted)
        text = f"{rule.name} is {value or 'empty'}"
        if value == rule.wanted:
            yield ok(subject, "VariableFits", text)
        else:
            yield Finding(rule.severity, "VariableUnfit", subject, text, rule.why, rule.mend, rule.managed)


def _value(facts: DatabaseFacts, name: str, wanted: str) -> str:
    value = facts.variables.get(name, _ABSENT.get(wanted, "not known to the server")).upper()
    return {"1": "ON", "0": "OFF"}.get(value, value) if wanted in ("ON", "OFF") else value


def _retention(subject: str, facts: DatabaseFacts) -> Finding:
    """MySQL: binlog_expire_logs_seconds, or days where that is 0; MariaDB keeps both in step. 0 purges nothing."""
    days = float(facts.variables.get("expire_logs_days") or 0)
    kept_s = int(facts.variables.get("binlog_expire_logs_seconds") or 0) or int(days * 86400)
    if not kept_s:
        return ok(subject, "RetentionFits", "keeps its binlog until somebody purges it")
    text = f"keeps its binlog for {kept_s / 3600:.0f} h"
    if kept_s >= WEEKEND_S:
        return ok(subject, "RetentionFits", text)
    why = "what capture has not read by then is lost: after an outage of a weekend every table is compared again"
    mend = f"SET GLOBAL binlog_expire_logs_seconds = {7 * 86400}; and the same in its configuration file"
    return Finding(Severity.WARNING, "RetentionShort", subject, text, why, mend, _RETENTION_MANAGED)


def _size_limit(subject: str, facts: DatabaseFacts) -> Iterator[Finding]:
    for name in ("max_binlog_total_size", "binlog_space_limit"):
        limit = int(facts.variables.get(name) or 0)
        if limit:
            why = "a burst of changes can purge what capture has not read yet, whatever the retention says"
            yield Finding(
                Severity.NOTE, "BinlogSizeLimited", subject, f"{name} is {limit} bytes", why, f"SET GLOBAL {name} = 0;"
            )


def _server_id(subject: str, facts: DatabaseFacts) -> Finding:
    number = int(facts.variables.get("server_id") or 0)
    if not number:
        why = "a server without one refuses to send its binlog"
        return Finding(
            Severity.ERROR,
            "ServerIdUnset",
            subject,
            "server_id is 0",
            why,
            "SET GLOBAL server_id = 1; and the same in its configuration file",
        )
    if facts.replicas is not None and number in facts.replicas:
        why = "transactions of one look like those of the other"
        text = f"server_id is {number}, and so is that of a replica that is connected to it"
        return Finding(Severity.ERROR, "ServerIdShared", subject, text, why, "Give each server a server_id of its own")
    others = "" if not facts.replicas else f", its replicas have {', '.join(map(str, sorted(facts.replicas)))}"
    return ok(subject, "ServerIdFits", f"server_id is {number}{others}")


def _grants(subject: str, facts: DatabaseFacts) -> Finding:
    try:
        check_grants(facts.user, facts.grants)
    except SourceError as error:
        return Finding(Severity.WARNING, "GrantsMissing", subject, error.text, _POLLED, error.mend)
    return ok(subject, "GrantsFit", f"user {facts.user} may read the binlog")


def _replica(subject: str, facts: DatabaseFacts) -> Iterator[Finding]:
    name = "log_replica_updates" if "log_replica_updates" in facts.variables else "log_slave_updates"
    if facts.is_replica and facts.variables.get(name, "OFF").upper() in ("OFF", "0"):
        why = "what it replicates from its source is not in its own binlog, so those rows never arrive"
        yield Finding(
            Severity.ERROR,
            "ReplicaWithoutLog",
            subject,
            f"is a replica, and {name} is OFF",
            why,
            f"{name} = ON in its configuration file, and restart it; or name its source in the hub",
            _parameter(name, "1", cloud_sql=False),
        )


def _filters(subject: str, facts: DatabaseFacts) -> Iterator[Finding]:
    for option, found in (("binlog-do-db", facts.only_databases), ("binlog-ignore-db", facts.ignored_databases)):
        if found:
            why = "changes of a database that is left out are not in the binlog, so those rows never arrive"
            mend = f"Take {option} out of its configuration file, and restart it, if the hub's database is concerned"
            yield Finding(Severity.WARNING, "BinlogFiltered", subject, f"{option} is {found}", why, mend)


def _sessions(subject: str, facts: DatabaseFacts) -> Iterator[Finding]:
    """Any session of such an account can log statements, part of a row, or nothing at all (sql_log_bin)."""
    if facts.free_sessions:
        shown = ", ".join(facts.free_sessions[:5]) + (", …" if len(facts.free_sessions) > 5 else "")
        why = (
            "a session of theirs may set binlog_format or binlog_row_image for itself, which has the table compared"
            " again, or sql_log_bin, which nobody notices before the next comparison"
        )
        right = "SESSION_VARIABLES_ADMIN, SUPER" if facts.flavour is Flavour.MYSQL else "BINLOG ADMIN"
        mend = f"REVOKE {right} ON *.* FROM those that do not need it"
        number = len(facts.free_sessions)
        text = f"{number} account{'s' * (number != 1)} may change what their sessions log: {shown}"
        yield Finding(Severity.NOTE, "SessionsFree", subject, text, why, mend)


def _xa(subject: str, facts: DatabaseFacts) -> Iterator[Finding]:
    if facts.xa_prepared:
        text = f"{facts.xa_prepared} XA transaction{'s are' if facts.xa_prepared > 1 else ' is'} prepared and open"
        why = "their rows arrive when they are committed; until then they may keep others waiting"
        yield Finding(Severity.NOTE, "XaPrepared", subject, text, why, "XA RECOVER; then XA COMMIT or XA ROLLBACK")
