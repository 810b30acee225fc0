"""End-to-end tests: SQL in, cluster state out, on the real stack with the product's own processes."""

from __future__ import annotations

import pytest

from tests import product
from tests.e2e.fixtures import flavour, stage

__all__ = ["flavour", "stage"]


def pytest_configure(config: pytest.Config) -> None:
    """The session's product is shared with the fault tests."""
    if not config.pluginmanager.has_plugin("rowplane-product"):
        config.pluginmanager.register(product, "rowplane-product")
