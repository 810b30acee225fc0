"""Pure decisions of capture: values, folding, planning, identity, in-flight bookkeeping.

Fed by: adapters, through the pipeline. Feeds: the pipeline and the control thread. Never: performs I/O, reads a
clock, logs, or knows a client library.
"""
