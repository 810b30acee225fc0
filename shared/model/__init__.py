"""Frozen values and their text forms: versions, envelopes, hubs, forms, nodes, names.

Fed by: bytes and dictionaries from adapters. Feeds: both processes. Never: performs I/O or reads a clock.
"""
