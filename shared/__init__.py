"""What capture and reconciler must agree on: model, errors, and thin clients of Kafka and Kubernetes.

Fed by: nothing. Feeds: `cdc` and `reconciler`. Never: imports either of them.
"""
