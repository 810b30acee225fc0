"""Pure decisions of the reconciler: rendering, ordering, gating, status. Values in, values out.

Fed by: reconcile.py. Feeds: reconcile.py. Never: performs I/O, reads a clock, logs or draws random numbers.
"""
