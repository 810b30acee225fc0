"""/livez, /readyz and /metrics over HTTP.

Fed by: a readiness function and a Prometheus registry. Feeds: kubelet and Prometheus. Never: anything else.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from shared.errors import UsageError
from shared.settings import ProbeSettings

__all__ = ["ProbeServer"]


class ProbeServer:
    """A daemon thread; `is_ready` and `is_alive` answer None when all is well, else what is missing, in words."""

    def __init__(
        self,
        settings: ProbeSettings,
        registry: CollectorRegistry,
        is_ready: Callable[[], str | None],
        is_alive: Callable[[], str | None] = lambda: None,
    ) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                match self.path.partition("?")[0]:
                    case "/livez":
                        self._tell(is_alive())
                    case "/readyz":
                        self._tell(is_ready())
                    case "/metrics":
                        self._answer(200, generate_latest(registry), CONTENT_TYPE_LATEST)
                    case _:
                        self._answer(404, b"not found\n")

            def _tell(self, missing: str | None) -> None:
                self._answer(503 if missing else 200, (missing or "ok").encode() + b"\n")

            def _answer(self, status: int, body: bytes, content_type: str = "text/plain; charset=utf-8") -> None:
                self.send_response(status)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
                """Probes are not worth a log line."""

        try:
            self._server = ThreadingHTTPServer((settings.host, settings.port), Handler)
        except OSError as error:
            raise UsageError(
                f"probes cannot listen on {settings.host}:{settings.port}: {error.strerror}",
                mend="Set ROWPLANE_METRICS_PORT to a free port",
            ) from error
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="probes", daemon=True)

    @property
    def port(self) -> int:
        """The port in use."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Stop answering and close the socket."""
        self._server.shutdown()
        self._server.server_close()
