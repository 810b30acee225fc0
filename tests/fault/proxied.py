"""A product of its own whose calls of the API server go through a proxy that can fail.

Fed by: the stack. Feeds: fault tests of the reconciler. Never: disturbs what other products ask the API server.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from deploy.stack.endpoints import Endpoints
from shared.kube import KubeClient
from tests.fault.api_proxy import ApiProxy, Matches, Request
from tests.product import Product, running

__all__ = ["api", "product", "writes"]


@pytest.fixture(scope="module")
def api(endpoints: Endpoints) -> Iterator[ApiProxy]:
    """The proxy."""
    proxy = ApiProxy(endpoints.kubeconfig)
    yield proxy
    proxy.close()


@pytest.fixture(scope="module")
def product(
    endpoints: Endpoints, client: KubeClient, api: ApiProxy, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Product]:
    """One capture and two reconcilers behind the proxy."""
    kubeconfig = api.write_kubeconfig(tmp_path_factory.mktemp("proxy") / "kubeconfig")
    with running(replace(endpoints, kubeconfig=kubeconfig), client, "test-logs-proxied") as product:
        yield product


def writes(plural: str, uid: str, method: str = "") -> Matches:
    """Requests that are to change an object of a node."""

    def matches(request: Request) -> bool:
        is_of = request.plural == plural and request.name.startswith(f"{uid}-")
        return is_of and request.is_write and method in ("", request.method)

    return matches
