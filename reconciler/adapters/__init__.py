"""Thin adapters: Kafka consumer, Kubernetes writes and watches; errors leave them as our own tree.

Fed by: libraries. Feeds: ports. Never: decide anything.
"""
