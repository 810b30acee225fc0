"""LynqHub: which table of which server holds the rows, and which column means what.

Fed by: the cluster, or a YAML file. Feeds: capture (what to read) and reconcilers (how to read a row).
Never: holds a password; it names the Secret.
"""

from __future__ import annotations

import json
import zlib
from typing import Annotated, Literal

from pydantic import Field

from shared.model.api import ApiModel, Condition, Int32, Int64, Metadata
from shared.model.names import debezium_server_id, debezium_topic, server_id_of, table_topic

__all__ = [
    "Capture",
    "DebeziumSource",
    "Hub",
    "HubSpec",
    "HubStatus",
    "MysqlSource",
    "MysqlTls",
    "ResyncStatus",
    "SecretKeyRef",
    "SecretRef",
    "ValueMappings",
]


class SecretKeyRef(ApiModel):
    """A key of a Secret in the hub's namespace."""

    name: str
    key: str


class SecretRef(ApiModel):
    """A Secret in the hub's namespace."""

    name: str


class MysqlTls(ApiModel):
    """How the connection to the server is encrypted."""

    mode: Annotated[str, Field(json_schema_extra={"enum": ["Disabled", "Required", "VerifyCA", "VerifyIdentity"]})] = (
        "VerifyIdentity"
    )
    ca_ref: SecretKeyRef | None = None
    """PEM of the authorities that are trusted; without it the system's."""
    cert_ref: SecretRef | None = None
    """Client certificate: a Secret of type kubernetes.io/tls."""


class MysqlSource(ApiModel):
    """One table or view of a MySQL or MariaDB server."""

    host: str
    port: Annotated[Int32, Field(ge=1, le=65535)] = 3306
    username: str
    password_ref: SecretKeyRef | None = None
    database: str
    table: str
    tls: MysqlTls | None = None


class DebeziumSource(ApiModel):
    """A topic that a Debezium connector for MySQL or MariaDB writes, on rowplane's Kafka."""

    topic: str


class HubSource(ApiModel):
    """Where the rows come from."""

    type: Literal["mysql", "debezium"] = Field(json_schema_extra={"enum": ["mysql", "debezium"]})
    sync_interval: Annotated[str, Field(pattern=r"^[0-9]+(s|m|h)$")] = "30s"
    mysql: MysqlSource | None = None
    debezium: DebeziumSource | None = None


class Capture(ApiModel):
    """How the table's changes are published."""

    partitions: Annotated[Int32, Field(ge=1, le=256)] | None = None
    """Of the change topic, fixed when it is made; the oldest hub of a table decides."""


class ValueMappings(ApiModel):
    """Columns with a fixed meaning."""

    uid: str
    activate: str
    host_or_url: str | None = Field(
        default=None, description="Deprecated: map the column in extraValueMappings instead."
    )


class HubSpec(ApiModel):
    """What the user writes."""

    source: HubSource
    value_mappings: ValueMappings
    extra_value_mappings: dict[str, str] = Field(default_factory=dict)
    capture: Capture | None = None


class ResyncStatus(ApiModel):
    """What became of the hub's last request to read its table."""

    request: str
    """Value of the annotation `lynq.sh/resync-requested`."""
    phase: Annotated[str, Field(json_schema_extra={"enum": ["Pending", "Running", "Done"]})]


class HubStatus(ApiModel):
    """What rowplane reports."""

    observed_generation: Int64 | None = None
    referencing_templates: Int32 | None = None
    desired: Int32 | None = None
    ready: Int32 | None = None
    failed: Int32 | None = None
    mode: Annotated[str, Field(json_schema_extra={"enum": ["Streaming", "Polling"]})] | None = None
    lag_seconds: Int32 | None = None
    last_gtid: str | None = None
    resync: ResyncStatus | None = None
    conditions: list[Condition] = Field(default_factory=list)


class Hub(ApiModel):
    """A LynqHub of the cluster."""

    metadata: Metadata
    spec: HubSpec
    status: HubStatus = HubStatus()

    @property
    def key(self) -> tuple[str, str]:
        """(namespace, name)."""
        return self.metadata.namespace, self.metadata.name

    @property
    def source_topic(self) -> str:
        """The Debezium topic that the rows come from; empty when they come from a database."""
        source = self.spec.source
        return source.debezium.topic if source.type == "debezium" and source.debezium else ""

    @property
    def server_id(self) -> str:
        """`host:port` of the database server, `debezium/<topic>` in its place; empty without the type's block."""
        if self.spec.source.type == "debezium":
            return debezium_server_id(self.source_topic) if self.source_topic else ""
        mysql = self.spec.source.mysql
        return server_id_of(mysql.host, mysql.port) if mysql else ""

    def topic(self, prefix: str) -> str:
        """The change topic of the hub's rows; empty without the type's block."""
        if self.spec.source.type == "debezium":
            return debezium_topic(prefix, self.source_topic) if self.source_topic else ""
        mysql = self.spec.source.mysql
        return table_topic(prefix, self.server_id, mysql.database, mysql.table) if mysql else ""

    @property
    def partitions(self) -> int | None:
        """How many partitions the change topic is to have; None: no wish."""
        return self.spec.capture.partitions if self.spec.capture else None

    @property
    def mapping_digest(self) -> str:
        """8 hex digits that stand for how rows become variables."""
        mapping = [self.spec.value_mappings.model_dump(), self.spec.extra_value_mappings]
        return f"{zlib.crc32(json.dumps(mapping, sort_keys=True).encode()):08x}"

    def columns(self) -> tuple[str, ...]:
        """Every column that a mapping names, once, uid first: all that is ever published."""
        mappings = self.spec.value_mappings
        named = [mappings.uid, mappings.activate]
        if mappings.host_or_url:
            named.append(mappings.host_or_url)
        named += [self.spec.extra_value_mappings[k] for k in sorted(self.spec.extra_value_mappings)]
        return tuple(dict.fromkeys(named))
