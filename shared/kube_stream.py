"""An open watch of the Kubernetes API: one JSON document a line.

Fed by: KubeClient. Feeds: reflectors. Never: reconnects; that is the reflector's.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import orjson
import urllib3

from shared.errors import ClusterError, ClusterUnreachable, WatchExpired

__all__ = ["KubeWatch"]


class KubeWatch:
    """An open watch: iterate (type, object); `close` ends it from any thread."""

    def __init__(self, response: urllib3.BaseHTTPResponse, subject: str) -> None:
        self._response = response
        self._subject = subject
        self._closed = threading.Event()

    def __iter__(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Events in order; ends when the server ends the watch. Raises WatchExpired, ClusterUnreachable."""
        pending = b""
        try:
            for chunk in self._response.stream(amt=None, decode_content=False):
                lines = (pending + chunk).split(b"\n")
                pending = lines.pop()
                for line in lines:
                    if line:
                        yield self._event(line)
        except (urllib3.exceptions.HTTPError, OSError, ValueError, AttributeError) as error:
            if self._closed.is_set():
                return
            raise ClusterUnreachable(f"{self._subject} broke off: {type(error).__name__}") from error

    def _event(self, line: bytes) -> tuple[str, dict[str, Any]]:
        event = orjson.loads(line)
        if event["type"] == "ERROR":
            status = event["object"]
            if status.get("code") == 410:
                raise WatchExpired(f"{self._subject} is too old", status=410)
            raise ClusterError(f"{self._subject}: {status.get('message')}", status=int(status.get("code") or 0))
        return event["type"], event["object"]

    def close(self) -> None:
        """End the watch; the iterating thread returns."""
        self._closed.set()
        connection = getattr(self._response, "_connection", None)
        sock = getattr(connection, "sock", None)
        if sock is not None:
            try:
                sock.shutdown(2)
            except OSError:
                return
        else:
            self._response.close()
