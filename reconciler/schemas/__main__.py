"""Makes the bundled types again, or tells whether they are those of the API server that the kubeconfig names.

    python -m reconciler.schemas            # exit 1 when they differ
    python -m reconciler.schemas --write

Fed by: /openapi/v3 of an API server. Feeds: kubernetes.json.gz. Never: takes over custom or aggregated kinds.
"""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import Any, Final

from reconciler.core.openapi_trim import trim
from reconciler.schemas import FILE, bundled_types
from shared.errors import RowplaneError
from shared.kube import KubeClient, ResourceType
from shared.settings import load_kube

__all__ = ["document_of", "main"]

_SERVICES: Final = ResourceType("apiregistration.k8s.io/v1", "APIService", "apiservices", namespaced=False)
_MANAGED: Final = "kube-aggregator.kubernetes.io/automanaged"
"""`onstart` on what the server serves by itself, `true` on what it serves for CRDs; source: kube-aggregator."""


def document_of(client: KubeClient) -> dict[str, Any]:
    """What the bundle says of this server: its release and its own types. Raises ClusterError."""
    version = client.get_path("/version")
    index = client.get_path("/openapi/v3")["paths"]
    types: dict[str, Any] = {}
    for service in sorted(client.list(_SERVICES)[0], key=lambda item: str(item["metadata"]["name"])):
        if service["metadata"].get("labels", {}).get(_MANAGED) == "onstart":
            group, name = service["spec"].get("group"), service["spec"]["version"]
            document = client.get_path(index[f"apis/{group}/{name}" if group else f"api/{name}"]["serverRelativeURL"])
            for type_name, node in trim(document).items():
                types[type_name] = {**types.get(type_name, {}), **node}  # a kind is marked in its own group alone
    return {"release": f"{version['major']}.{version['minor'].rstrip('+')}", "types": types}


def main(arguments: list[str]) -> int:
    """Compare, or with `--write` write; the exit code."""
    try:
        document = document_of(KubeClient.connect(load_kube()))
    except RowplaneError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    if "--write" in arguments:
        text = json.dumps(document, sort_keys=True, separators=(",", ":"))
        Path(__file__).with_name(FILE).write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    return 0 if document == bundled_types() else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
