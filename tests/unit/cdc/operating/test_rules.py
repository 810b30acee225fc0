"""What `rowplane check` makes of facts: servers, tables, topics, clusters that are fit, and each way not to be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from cdc.core.advice import WANTED_VARIABLES, ColumnFacts
from cdc.operating.broker_rules import BrokerFacts, Role, TopicFacts, judge_brokers
from cdc.operating.cluster_rules import ClusterFacts, CrdState, ForeignLease, crd_state, judge_cluster
from cdc.operating.database_rules import DatabaseFacts, judge_database, variable_names
from cdc.operating.findings import Finding, Severity, failure, worst_exit_code
from cdc.operating.options import parse_hub
from cdc.operating.table_rules import TableColumn, TableFacts, judge_table
from shared.errors import SourceRefused, SourceUnreachable, UsageError
from shared.model.crd import all_crds
from shared.model.position import Flavour, TableId
from shared.model.rights import Right, rights

HASH = "*1B2CCEC6FFCBAD5B5E826159B5B41F9BEB51EDB0"
GRANT = "GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO `reader`@`%`"
MYSQL = DatabaseFacts(
    server="db:3306",
    user="reader",
    flavour=Flavour.MYSQL,
    version="8.4.3",
    variables={
        "log_bin": "ON",
        "binlog_format": "ROW",
        "binlog_row_image": "FULL",
        "binlog_row_metadata": "FULL",
        "binlog_row_value_options": "",
        "gtid_mode": "ON",
        "enforce_gtid_consistency": "ON",
        "sync_binlog": "1",
        "innodb_flush_log_at_trx_commit": "1",
        "binlog_transaction_compression": "OFF",
        "binlog_expire_logs_seconds": "2592000",
        "server_id": "7",
        "log_replica_updates": "ON",
    },
    grants=(GRANT,),
    replicas=(9,),
    is_replica=False,
    xa_prepared=0,
    free_sessions=(),
)
MARIADB = replace(
    MYSQL,
    flavour=Flavour.MARIADB,
    version="10.11.9-MariaDB-log",
    variables={
        "log_bin": "ON",
        "binlog_format": "ROW",
        "binlog_row_image": "FULL",
        "binlog_row_metadata": "FULL",
        "sync_binlog": "1",
        "innodb_flush_log_at_trx_commit": "1",
        "log_bin_compress": "OFF",
        "binlog_expire_logs_seconds": "0",
        "expire_logs_days": "0.000000",
        "server_id": "7",
        "log_slave_updates": "OFF",
    },
    grants=(f"GRANT REPLICATION SLAVE, BINLOG MONITOR ON *.* TO `reader`@`%` IDENTIFIED BY PASSWORD '{HASH}'",),
)
NODES = TableId("shop", "nodes")
TABLE = TableFacts(
    hub="ns/hub",
    table=NODES,
    kind="BASE TABLE",
    others=("nodes",),
    uid_column="id",
    columns=("id", "active"),
    present={
        "id": TableColumn(ColumnFacts("id", is_nullable=False, is_unique=True), "varchar(40)", "utf8mb4_bin"),
        "active": TableColumn(ColumnFacts("active", is_nullable=True, is_unique=False), "tinyint(1)"),
    },
    engine="InnoDB",
)
CONFIGS = {
    "cleanup.policy": "delete",
    "min.insync.replicas": "2",
    "max.message.bytes": "1048588",
    "retention.ms": "604800000",
    "unclean.leader.election.enable": "false",
}
RIGHTS = frozenset(("READ", "WRITE", "DESCRIBE", "DESCRIBE_CONFIGS", "CREATE"))
CHANGES = TopicFacts("rowplane.db.shop.nodes", Role.CHANGES, 8, 3, 3, 0, CONFIGS, RIGHTS, recorded=8)
POSITION = TopicFacts("rowplane.position", Role.POSITION, 1, 3, 3, 0, {**CONFIGS, "cleanup.policy": "compact"}, RIGHTS)
KAFKA = BrokerFacts(
    "kafka:9092", 3, has_authorizer=True, operations=RIGHTS, topics=(POSITION, CHANGES), wanted_replicas=3
)
CLUSTER = ClusterFacts("https://api", "", (), 26, {"lynqhubs.operator.lynq.sh": CrdState.SAME}, (), ())


def troubles(found: list[Finding]) -> list[tuple[str, str]]:
    """(severity, reason) of all that is not ok."""
    return [(finding.severity.value, finding.reason) for finding in found if finding.severity is not Severity.OK]


def only(found: list[Finding]) -> Finding:
    """The one finding that is not ok."""
    (finding,) = [finding for finding in found if finding.severity is not Severity.OK]
    return finding


def with_variables(facts: DatabaseFacts, changes: Mapping[str, str]) -> DatabaseFacts:
    return replace(facts, variables={**facts.variables, **changes})


@pytest.mark.parametrize("facts", [MYSQL, MARIADB], ids=["mysql", "mariadb"])
def test_a_fit_server_has_nothing_to_mend(facts: DatabaseFacts) -> None:
    assert troubles(judge_database(facts)) == []


def test_all_that_capture_wants_is_looked_at() -> None:
    assert WANTED_VARIABLES.keys() <= variable_names()


@pytest.mark.parametrize(
    ("name", "value", "severity", "sql"),
    [
        ("binlog_format", "MIXED", "warning", "SET GLOBAL binlog_format = 'ROW'"),
        ("binlog_row_image", "MINIMAL", "warning", "SET GLOBAL binlog_row_image = 'FULL'"),
        ("binlog_row_metadata", "NO_LOG", "warning", "SET GLOBAL binlog_row_metadata = 'FULL'"),
        ("sync_binlog", "0", "warning", "SET GLOBAL sync_binlog = 1"),
        ("innodb_flush_log_at_trx_commit", "2", "warning", "SET GLOBAL innodb_flush_log_at_trx_commit = 1"),
    ],
)
@pytest.mark.parametrize("facts", [MYSQL, MARIADB], ids=["mysql", "mariadb"])
def test_a_variable_that_does_not_fit_has_its_sql(
    facts: DatabaseFacts, name: str, value: str, severity: str, sql: str
) -> None:
    finding = only(judge_database(with_variables(facts, {name: value})))
    assert (finding.severity, finding.text) == (severity, f"{name} is {value}")
    assert sql in finding.mend
    assert name in finding.managed
    assert finding.why


@pytest.mark.parametrize(
    ("facts", "changes", "told"),
    [
        (MYSQL, {"gtid_mode": "OFF"}, "gtid_mode is OFF"),
        (MYSQL, {"enforce_gtid_consistency": "WARN"}, "enforce_gtid_consistency is WARN"),
        (MYSQL, {"binlog_row_value_options": "PARTIAL_JSON"}, "binlog_row_value_options is PARTIAL_JSON"),
        (MYSQL, {"binlog_transaction_compression": "ON"}, "binlog_transaction_compression is ON"),
        (MARIADB, {"log_bin_compress": "ON"}, "log_bin_compress is ON"),
        (MYSQL, {"binlog_expire_logs_seconds": "3600"}, "keeps its binlog for 1 h"),
        (MYSQL, {"binlog_expire_logs_seconds": "0", "expire_logs_days": "2"}, "keeps its binlog for 48 h"),
        (MARIADB, {"max_binlog_total_size": "1048576"}, "max_binlog_total_size is 1048576 bytes"),
        (MYSQL, {"server_id": "0"}, "server_id is 0"),
        (MYSQL, {"server_id": "9"}, "server_id is 9, and so is that of a replica that is connected to it"),
    ],
)
def test_what_one_flavour_or_one_number_says(facts: DatabaseFacts, changes: dict[str, str], told: str) -> None:
    finding = only(judge_database(with_variables(facts, changes)))
    assert finding.text == told
    assert finding.mend


def test_without_a_binlog_its_form_is_not_judged() -> None:
    finding = only(judge_database(with_variables(MYSQL, {"log_bin": "0", "binlog_format": "STATEMENT"})))
    assert finding.text == "log_bin is OFF"


@pytest.mark.parametrize(
    ("changes", "severity", "reason"),
    [
        ({"version": "5.7.44"}, "error", "VersionUnsupported"),
        ({"grants": ("GRANT SELECT ON `shop`.* TO `reader`@`%`",)}, "warning", "GrantsMissing"),
        ({"only_databases": "billing"}, "warning", "BinlogFiltered"),
        ({"ignored_databases": "shop"}, "warning", "BinlogFiltered"),
        ({"xa_prepared": 2}, "note", "XaPrepared"),
        ({"free_sessions": ("app@%",)}, "note", "SessionsFree"),
    ],
)
def test_other_facts_of_a_server(changes: dict[str, Any], severity: str, reason: str) -> None:
    assert troubles(judge_database(replace(MYSQL, **changes))) == [(severity, reason)]


def test_missing_grants_are_sql() -> None:
    finding = only(judge_database(replace(MYSQL, grants=())))
    assert finding.mend == "GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO 'reader'@'%';"


def test_a_replica_that_does_not_log_what_it_replicates() -> None:
    assert troubles(judge_database(replace(MARIADB, is_replica=True))) == [("error", "ReplicaWithoutLog")]
    assert troubles(judge_database(replace(MYSQL, is_replica=True))) == []


def test_what_the_account_may_not_ask_is_no_finding() -> None:
    hidden = replace(MYSQL, replicas=None, is_replica=None, xa_prepared=None, free_sessions=None)
    assert troubles(judge_database(hidden)) == []


def test_no_finding_holds_the_hash_of_a_grant() -> None:
    assert HASH not in str(judge_database(MARIADB))


# -- tables --------------------------------------------------------------------------------------------------------


def column(type_: str, *, null: bool = False, unique: bool = True, collation: str = "") -> TableColumn:
    return TableColumn(ColumnFacts("id", is_nullable=null, is_unique=unique), type_, collation)


@pytest.mark.parametrize(
    ("changes", "severity", "reason"),
    [
        ({"kind": "VIEW"}, "warning", "Polling"),
        ({"kind": "SYSTEM VERSIONED"}, "warning", "Polling"),
        ({"engine": "MyISAM"}, "warning", "EngineUnfit"),
        ({"kind": ""}, "error", "TableMissing"),
        ({"columns": ("id", "activ")}, "error", "ColumnMissing"),
        ({"refusal": SourceRefused("no", reason="DatabaseRefused")}, "error", "DatabaseRefused"),
        ({"cascades": ("fk_owner",)}, "note", "ForeignKeyCascades"),
        ({"present": {**TABLE.present, "id": column("varchar(40)", unique=False)}}, "error", "UidNotUnique"),
        ({"present": {**TABLE.present, "id": column("varchar(40)", null=True)}}, "error", "UidNotUnique"),
        ({"present": {**TABLE.present, "id": column("double")}}, "warning", "UidTypeUnfit"),
        ({"present": {**TABLE.present, "id": column("char(8)", collation="latin1_swedish_ci")}}, "note", "UidFolds"),
        ({"present": {**TABLE.present, "active": column("blob")}}, "note", "ColumnOfBytes"),
    ],
)
def test_a_table_that_does_not_fit(changes: dict[str, Any], severity: str, reason: str) -> None:
    assert troubles(judge_table(TABLE)) == []
    assert troubles(judge_table(replace(TABLE, **changes))) == [(severity, reason)]


def test_a_table_with_system_versioning_needs_a_unique_uid_like_any_other() -> None:
    """It is polled like a view, which has no index and is not asked for one."""
    present = {**TABLE.present, "id": column("varchar(40)", unique=False)}
    found = troubles(judge_table(replace(TABLE, kind="SYSTEM VERSIONED", present=present)))
    assert found == [("warning", "Polling"), ("error", "UidNotUnique")]
    assert troubles(judge_table(replace(TABLE, kind="VIEW", present=present))) == [("warning", "Polling")]


def test_a_column_that_is_missing_has_the_nearest_one_as_its_mend() -> None:
    assert only(judge_table(replace(TABLE, columns=("id", "activ")))).mend == "Did you mean active?"


# -- Kafka ---------------------------------------------------------------------------------------------------------


def configured(**configs: str) -> dict[str, Any]:
    return {"configs": {**CONFIGS, **{name.replace("_", "."): value for name, value in configs.items()}}}


@pytest.mark.parametrize(
    ("changes", "severity", "reason"),
    [
        ({"partitions": 9}, "error", "PartitionsChanged"),
        ({"leaderless": 1}, "error", "LeaderMissing"),
        ({"in_sync": 2}, "warning", "UnderReplicated"),
        ({"configs": None}, "note", "ConfigsHidden"),
        ({"operations": frozenset(("READ", "DESCRIBE", "DESCRIBE_CONFIGS"))}, "error", "AclMissing"),
        (configured(min_insync_replicas="4"), "error", "InsyncImpossible"),
        (configured(min_insync_replicas="3"), "warning", "InsyncTight"),
        (configured(min_insync_replicas="1"), "warning", "InsyncLow"),
        (configured(cleanup_policy="compact"), "warning", "CleanupUnfit"),
        (configured(max_message_bytes="1000"), "warning", "MessagesSmall"),
        (configured(retention_ms="3600000"), "warning", "RetentionShort"),
        (configured(unclean_leader_election_enable="true"), "warning", "UncleanElection"),
    ],
)
def test_a_change_topic_that_does_not_fit(changes: dict[str, Any], severity: str, reason: str) -> None:
    assert troubles(judge_brokers(KAFKA)) == []
    found = judge_brokers(replace(KAFKA, topics=(POSITION, replace(CHANGES, **changes))))
    # a topic whose configuration is hidden counts as having the broker's default of one replica in sync
    assert (severity, reason) in troubles(found)
    assert len(troubles(found)) == (2 if changes.get("configs", CONFIGS) is None else 1)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"partitions": 2}, "PartitionsChanged"),
        ({"configs": {**CONFIGS, "cleanup.policy": "compact,delete"}}, "CleanupUnfit"),
    ],
)
def test_positions_must_stay_and_be_in_one_order(changes: dict[str, Any], reason: str) -> None:
    found = judge_brokers(replace(KAFKA, topics=(replace(POSITION, **changes),)))
    assert troubles(found) == [("error", reason)]


def test_one_replica_and_too_few_for_the_setting() -> None:
    alone = replace(CHANGES, replicas=1, in_sync=1, **configured(min_insync_replicas="1"))
    assert troubles(judge_brokers(replace(KAFKA, topics=(alone,)))) == [("warning", "NotReplicated")]
    two = replace(CHANGES, replicas=2, in_sync=2, **configured(min_insync_replicas="1"))
    assert troubles(judge_brokers(replace(KAFKA, topics=(two,)))) == [("warning", "ReplicationLow")]


@pytest.mark.parametrize(
    ("changes", "severity", "reason"),
    [
        ({"has_authorizer": False}, "note", "NoAuthorizer"),
        ({"wanted_replicas": 4, "topics": ()}, "error", "ReplicationImpossible"),
        ({"offsets_retention_min": 60}, "warning", "OffsetsShort"),
    ],
)
def test_a_kafka_that_does_not_fit(changes: dict[str, Any], severity: str, reason: str) -> None:
    assert troubles(judge_brokers(replace(KAFKA, **changes))) == [(severity, reason)]


def test_the_right_to_create_is_missed_while_a_topic_is_missing() -> None:
    facts = replace(KAFKA, operations=RIGHTS - {"CREATE"})
    assert troubles(judge_brokers(facts)) == []
    missing = replace(facts, topics=(TopicFacts("rowplane.new", Role.CHANGES, 0),))
    assert troubles(judge_brokers(missing)) == [("error", "AclMissing"), ("note", "TopicMissing")]


# -- cluster -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "severity", "reason"),
    [
        ({"crds": {"a": CrdState.MISSING}}, "error", "CrdMissing"),
        ({"crds": {"a": CrdState.DIFFERENT}}, "warning", "CrdDifferent"),
        ({"crds": {"a": CrdState.HIDDEN}}, "note", "CrdHidden"),
        ({"missing": (Right("capture", "", "secrets", "get"),)}, "error", "RightMissing"),
        ({"unserved": (("x.example/v1", "Gadget"),)}, "warning", "KindNotServed"),
        ({"leases": None}, "note", "LeasesHidden"),
        ({"leases": (ForeignLease("lynq-system", "pod-1", 3.0),)}, "error", "LynqRuns"),
    ],
)
def test_a_cluster_that_does_not_fit(changes: dict[str, Any], severity: str, reason: str) -> None:
    assert troubles(judge_cluster(CLUSTER)) == []
    assert troubles(judge_cluster(replace(CLUSTER, **changes))) == [(severity, reason)]


def test_a_lease_that_was_given_up_or_ran_out_is_no_operator() -> None:
    leases = (ForeignLease("a", "", 1.0), ForeignLease("b", "pod", 3600.0))
    assert troubles(judge_cluster(replace(CLUSTER, leases=leases))) == []


def test_verbs_of_one_resource_are_one_finding() -> None:
    missing = tuple(right for right in rights(()) if (right.process, right.resource) == ("capture", "leases"))
    finding = only(judge_cluster(replace(CLUSTER, missing=missing)))
    assert "capture may not get create update leases.coordination.k8s.io" in finding.text


def test_kinds_of_forms_are_asked_for() -> None:
    asked = {right.verb for right in rights({("apps", "deployments")}) if right.resource == "deployments"}
    assert asked == {"get", "list", "watch", "create", "patch", "update", "delete"}


def test_defaults_of_the_server_do_not_make_a_definition_different() -> None:
    ours = next(iter(all_crds().values()))["spec"]
    assert crd_state({**ours, "conversion": {"strategy": "None"}}, ours) is CrdState.SAME
    assert crd_state({**ours, "versions": []}, ours) is CrdState.DIFFERENT


# -- the whole -----------------------------------------------------------------------------------------------------


def test_silence_is_worse_than_an_error_and_a_warning_is_none() -> None:
    silent = failure("database", SourceUnreachable("no answer"))
    refused = failure("database", SourceRefused("no"))
    warning = replace(refused, severity=Severity.WARNING)
    assert [worst_exit_code(found) for found in ([], [warning], [refused], [refused, silent])] == [0, 0, 1, 3]


@pytest.mark.parametrize("text", ["hub", "ns/", "/hub", "a/b/c", ""])
def test_a_hub_is_namespace_and_name(text: str) -> None:
    with pytest.raises(UsageError):
        parse_hub(text)
    assert parse_hub("ns/hub") == ("ns", "hub")
