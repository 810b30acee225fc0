"""Fault tests: processes and connections are killed or stopped while rows change."""

from __future__ import annotations

import pytest

from tests import product
from tests.component.conftest import cluster, mysql_world, world
from tests.e2e.fixtures import flavour, stage

__all__ = ["cluster", "flavour", "mysql_world", "stage", "world"]


def pytest_configure(config: pytest.Config) -> None:
    """The session's product is shared with the end-to-end tests."""
    if not config.pluginmanager.has_plugin("rowplane-product"):
        config.pluginmanager.register(product, "rowplane-product")
