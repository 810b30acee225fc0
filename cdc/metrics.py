"""Every metric of capture. In a child each series gets the label `server` when the supervisor merges it.

Fed by: the modules of capture. Feeds: /metrics. Never: carries a label whose values grow with rows.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

EVENTS = Counter("rowplane_capture_events_total", "Binlog events read", ["kind"])
TRANSACTIONS = Counter("rowplane_capture_transactions_total", "Transactions passed, with and without published rows")
RECORDS = Counter("rowplane_capture_records_total", "Records handed to Kafka", ["table", "op"])
SNAPSHOT_ROWS = Counter("rowplane_capture_snapshot_rows_total", "Rows read by SELECT", ["table"])
SNAPSHOTS = Counter(
    "rowplane_capture_snapshots_total",
    "Reads of a table begun: full (all rows published), diff (those that differ), poll (likewise, without a stream)",
    ["table", "kind"],
)
READ_S = Histogram(
    "rowplane_capture_snapshot_seconds",
    "Reads of a table that came to their end",
    ["kind"],
    buckets=(0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0),
)
DEAD = Counter("rowplane_capture_dead_letters_total", "Rows that could not be published", ["topic"])
UNREAD = Counter(
    "rowplane_capture_unread_total", "Changes that the binlog did not tell; the table was read instead", ["table"]
)
GAPS = Counter("rowplane_capture_gaps_total", "New incarnations: the stored position could not be resumed")
SKIPPED = Counter("rowplane_capture_skipped_total", "Records that could not be published", ["table", "reason"])
REPEATS = Counter(
    "rowplane_capture_skipped_repeats_total", "Changes that the topics held already when they were read again"
)
LEADER = Gauge("rowplane_capture_leader", "1 while this process is the one that captures, 0 while it stands by")
RECONNECTS = Counter("rowplane_capture_reconnects_total", "Binlog connections that broke")
CONNECTED = Gauge("rowplane_capture_connected", "1 while the binlog stream is open")
LAG_S = Gauge("rowplane_capture_lag_seconds", "Age of the last transaction when it was read (the server's clock)")
PUBLISH_S = Histogram(
    "rowplane_capture_store_seconds",
    "From handing a step of the log to Kafka until it is stored with all before it",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0),
)
IN_FLIGHT = Gauge("rowplane_capture_in_flight_records", "Records handed to Kafka and not stored yet")
IN_FLIGHT_BYTES = Gauge("rowplane_capture_in_flight_bytes", "Their bytes")
FLOOR_WRITES = Counter("rowplane_capture_floor_writes_total", "State records written")
DRAINED_TIMESTAMP = Gauge(
    "rowplane_capture_drained_timestamp_seconds",
    "When everything that had been passed was stored; time() minus this is the age of the floor",
)
HUBS = Gauge("rowplane_capture_hubs", "Hubs of this server", ["state"])
SUPERVISOR = CollectorRegistry()
"""Metrics of the supervisor itself; those above belong to the process of one server."""
CHILDREN = Gauge("rowplane_capture_children", "Capture processes that run, one per server", registry=SUPERVISOR)
CHILD_RESTARTS = Counter(
    "rowplane_capture_child_restarts_total",
    "Capture processes that ended by themselves",
    ["server"],
    registry=SUPERVISOR,
)
