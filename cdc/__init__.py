"""Capture: row changes of MySQL and MariaDB tables, out of the binlog into Kafka.

Fed by: LynqHubs, the database's binlog, SELECT. Feeds: one change topic per table, the state topic, hub conditions.
Never: decides what a row means for the cluster.
"""
