"""Kafka → Kubernetes: renders a node's resources from its row and server-side-applies what changed.

Fed by: change topics, watches of the cluster. Feeds: the Kubernetes API. Never: keeps local state on disk.
"""
