"""The types of Kubernetes' own kinds, bundled for work without a cluster; the server's documents, trimmed.

Fed by: kubernetes.json.gz beside this file. Feeds: the command line, tests. Never: asks a server; `python -m
reconciler.schemas` does, to make the file.
"""

from __future__ import annotations

import gzip
import json
from functools import lru_cache
from importlib import resources
from typing import Any, Final

from reconciler.core.openapi_trim import types_of
from reconciler.core.schema import Schemas

__all__ = ["FILE", "bundled", "bundled_types"]

FILE: Final = "kubernetes.json.gz"


@lru_cache(maxsize=1)
def bundled() -> Schemas:
    """The kinds that the bundle's Kubernetes release serves by itself; no custom ones."""
    return Schemas(types_of(bundled_types()["types"]))


def bundled_types() -> dict[str, Any]:
    """The file as it is: `release` (`1.34`) and `types`, the trimmed nodes by type name."""
    packed = resources.files(__name__).joinpath(FILE).read_bytes()
    document: dict[str, Any] = json.loads(gzip.decompress(packed))
    return document
