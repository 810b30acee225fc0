"""Fault tests: processes and connections are killed or stopped while rows change."""

from __future__ import annotations

import pytest

from tests import product
from tests.component.conftest import cluster
from tests.e2e.fixtures import flavour, stage
from tests.fault.capture import capture_world, mysql_capture_world
from tests.fault.rows import every_server, servers, world

__all__ = [
    "capture_world",
    "cluster",
    "every_server",
    "flavour",
    "mysql_capture_world",
    "servers",
    "stage",
    "world",
]


def pytest_configure(config: pytest.Config) -> None:
    """The session's product is shared with the end-to-end tests."""
    if not config.pluginmanager.has_plugin("rowplane-product"):
        config.pluginmanager.register(product, "rowplane-product")
