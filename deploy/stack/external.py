"""A stack given from outside: check that every server answers before anything relies on it.

Fed by: `ROWPLANE_STACK_*`. Feeds: `__main__`. Never: starts, stops or changes a server.
"""

import os
from collections.abc import Mapping

from deploy.stack import databases, kafka, ways
from deploy.stack.cluster import Cluster
from deploy.stack.endpoints import Endpoints, load
from deploy.stack.errors import StackError
from deploy.stack.paths import Paths


def check(paths: Paths, environ: Mapping[str, str] = os.environ) -> Endpoints:
    """Return the endpoints after trying each; raises StackError naming the variable to look at."""
    absent = ways.missing(environ)
    if absent:
        raise StackError(f"{', '.join(absent)} not set; a stack from outside needs all of them")
    endpoints = load(paths, environ)
    databases.require(endpoints.mysql, "ROWPLANE_STACK_MYSQL")
    if endpoints.mariadb is not None:
        databases.require(endpoints.mariadb, "ROWPLANE_STACK_MARIADB")
    kafka.require(endpoints.kafka_bootstrap_servers)
    Cluster(endpoints.kubeconfig).require("ROWPLANE_STACK_KUBECONFIG")
    return endpoints
