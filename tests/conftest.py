"""Fixtures that every level shares. Tests marked `stack` need the real stack, which `make stack` starts."""

from __future__ import annotations

import pytest

from deploy.stack.endpoints import Endpoints, load_endpoints


@pytest.fixture(scope="session")
def endpoints() -> Endpoints:
    """Where the real stack answers; fails with one line when it is not up."""
    found = load_endpoints()
    if found is None:
        pytest.fail("the stack is not up: run `make stack` first", pytrace=False)
    return found
