"""The binlog by its bytes: packets, events, table maps, rows, values. Pure: bytes come in, events go out.

Fed by: cdc.adapters.binlog, which owns the socket. Feeds: the events of cdc.core.events. Never: performs I/O.
"""
