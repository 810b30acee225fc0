"""`rowplane check` at work: ask database, Kafka and cluster, judge, print, and the exit code.

Fed by: commands.py, the start of a capture. Feeds: the terminal, or the log. Never: judges, which the rules do, or
changes anything.
Exit codes: 0 fit, 1 something must be mended, 2 usage, 3 something could not be reached.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

import structlog
import typer
from rich.text import Text

from cdc.operating.adapters.broker import broker_facts
from cdc.operating.adapters.cluster import Cluster, source_of
from cdc.operating.adapters.database import database_facts, table_facts
from cdc.operating.adapters.states import stored_states
from cdc.operating.broker_rules import judge_brokers
from cdc.operating.cluster_rules import judge_cluster
from cdc.operating.database_rules import judge_database
from cdc.operating.findings import Finding, Severity, failure, finding_data, worst_exit_code
from cdc.operating.options import Format, check_hubs
from cdc.operating.output import count, err, out, print_data
from cdc.operating.table_rules import judge_table
from shared.errors import ClusterError, RowplaneError, SourceError, UsageError
from shared.model.hub import Hub
from shared.settings import KafkaSettings, load_kafka

__all__ = ["check", "check_at_start"]

log = structlog.get_logger(__name__)

_STYLES: Final = {
    Severity.ERROR: "bold red",
    Severity.WARNING: "bold yellow",
    Severity.NOTE: "bold",
    Severity.OK: "green",
}


def check(hub_name: str, output: Format, *, every: bool) -> None:
    """Exit code 1 for an error, 3 when something did not answer."""
    names = (hub_name,) if hub_name else ()
    check_hubs(names, every=every)
    findings = _findings(names, every=every)
    _print(findings, output)
    raise typer.Exit(worst_exit_code(findings))


def check_at_start() -> None:
    """The same for all hubs, told by the log of a capture that begins: what is wrong, or could be better."""
    try:
        findings = _findings((), every=True)
    except RowplaneError as error:
        log.warning("check not made", error=str(error))
        return
    for finding in findings:
        if finding.severity in (Severity.ERROR, Severity.WARNING):
            words = {"severity": finding.severity.value, "why": finding.why, "mend": finding.mend}
            log.warning("check finds", subject=finding.subject, finding=finding.text, reason=finding.reason, **words)
    log.info("check made", findings=len(findings), unfit=sum(f.severity is Severity.ERROR for f in findings))


def _findings(names: Sequence[str], *, every: bool) -> list[Finding]:
    """Raises UsageError, InvalidError."""
    kafka, cluster = load_kafka(), Cluster.connect()
    findings = _asked(f"cluster {cluster.client.server}", lambda: judge_cluster(cluster.facts()))
    hubs: Sequence[Hub] = ()
    if not any(finding.is_unreachable for finding in findings):
        try:
            hubs = cluster.chosen(names, every=every)
        except ClusterError as error:
            findings.append(failure(f"cluster {cluster.client.server}", error))
    findings += _databases(cluster, hubs)
    servers = ",".join(kafka.bootstrap_servers)
    return findings + _asked(f"Kafka {servers}", lambda: judge_brokers(broker_facts(kafka, _topics(kafka, hubs))))


def _asked(subject: str, ask: Callable[[], list[Finding]]) -> list[Finding]:
    """What it finds; an error of the tree is a finding of its own."""
    try:
        return ask()
    except UsageError:
        raise
    except RowplaneError as error:
        return [failure(subject, error)]


def _databases(cluster: Cluster, hubs: Iterable[Hub]) -> list[Finding]:
    """Each account on each server once, each hub's table."""
    found: list[Finding] = []
    seen: set[tuple[str, str]] = set()
    silent: set[str] = set()
    for hub in (hub for hub in hubs if not hub.source_topic):
        source, subject = source_of(hub), f"hub {'/'.join(hub.key)}"
        if hub.server_id in silent:
            continue  # told once
        try:
            login = cluster.login(hub)
            if (hub.server_id, login.user) not in seen:
                seen.add((hub.server_id, login.user))
                found += judge_database(database_facts(login))
            found += judge_table(table_facts(login, hub, source))
        except (ClusterError, SourceError) as error:
            finding = failure(subject, error, why="no row of its table can be read")
            found.append(finding)
            if finding.is_unreachable:
                silent.add(hub.server_id)
    return found


def _topics(kafka: KafkaSettings, hubs: Iterable[Hub]) -> dict[str, int]:
    """Change topics of the hubs, with the number of partitions that capture has noted; 0 for none."""
    topics = {hub.topic(kafka.topic_prefix): 0 for hub in hubs}
    tables = [table for stored in stored_states(kafka).values() for table in stored.state.tables.values()]
    return topics | {table.topic: table.partitions for table in tables if table.topic in topics}


def _print(findings: Sequence[Finding], output: Format) -> None:
    counts = {severity: sum(f.severity is severity for f in findings) for severity in Severity}
    if output is not Format.TEXT:
        print_data(
            {
                "fit": worst_exit_code(findings) == 0,
                "counts": {severity.value: number for severity, number in counts.items()},
                "findings": [dict(finding_data(finding)) for finding in findings],
            },
            output,
        )
        return
    console = out()
    for finding in findings:
        console.print(Text.assemble((f"{finding.severity}: ", _STYLES[finding.severity]), _sentence(finding)))
        for word, text in (("mend", finding.mend), ("managed", finding.managed)):
            if text and finding.severity is not Severity.OK:
                console.print(Text.assemble((f"  {word}: ", "bold"), text))
    err().print(
        f"{count(counts[Severity.ERROR], 'error')}, {count(counts[Severity.WARNING], 'warning')},"
        f" {count(counts[Severity.NOTE], 'note')}, {counts[Severity.OK]} ok"
    )


def _sentence(finding: Finding) -> str:
    why = f"; {finding.why}" if finding.why else ""
    return f"{finding.subject}: {finding.text}{why}"
