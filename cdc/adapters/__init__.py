"""The outside of capture: binlog, SQL, Kafka, hubs; each module hides one client library behind a port.

Fed by: servers. Feeds: the pipeline and the control thread, through cdc.ports. Never: decides.
"""
