"""HTTPS for the API server: a thread a connection, and a time limit on everything that a client does.

A client that says nothing, speaks slowly or speaks nonsense holds its own thread for some seconds and nobody else's.
Fed by: the API server's calls. Feeds: a function that answers a body. Never: looks into a body, and never dies of one.
"""

from __future__ import annotations

import contextlib
import io
import socket
import ssl
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from typing import Any, Final

import structlog

from reconciler.webhook.certificates import KeyPair
from reconciler.webhook.metrics import Metrics
from shared.errors import UsageError

__all__ = ["Reply", "WebhookServer"]

log = structlog.get_logger(__name__)

_HANDSHAKE_S: Final = 5.0
_REQUEST_S: Final = 10.0
"""From the first byte of a request to its last; as long as the API server waits for an answer."""
_IDLE_S: Final = 120.0
"""Longer than the API server keeps an idle connection (90 s), so that it is never closed under its next request."""
_LINGER_S: Final = 1.0
"""When the server stops, connections may make one more request for so long: it is answered, with `Connection: close`.
Cut at once, a request that is just coming would be lost, and the API server does not send one twice."""
_BODY_BYTES: Final = 8 << 20
"""The API server takes objects of 3 MiB; a review holds the new and the old one."""
_CONNECTIONS: Final = 512
"""More are turned away: each costs a thread."""

Reply = tuple[int, bytes, str]
"""HTTP status, body, content type."""
Respond = Callable[[str, bytes], Reply]
"""Answers the body that was posted to a path."""


class _Reader(io.RawIOBase):
    """A socket as a file of which each request must have arrived within a time."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._wait_s = _REQUEST_S
        self._end_s: float | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        now_s = time.monotonic()
        left_s = self._wait_s if self._end_s is None else self._end_s - now_s
        if left_s <= 0:
            raise TimeoutError("the request did not arrive in time")
        self._sock.settimeout(left_s)
        try:
            count = self._sock.recv_into(buffer)
        except TimeoutError:
            if self._end_s is None:
                return 0  # nothing has been asked: an ordinary end
            raise
        if self._end_s is None:
            self._end_s = time.monotonic() + _REQUEST_S
        return count

    def rest(self) -> None:
        """The next request may come late."""
        self._wait_s, self._end_s = _IDLE_S, None


class _Writer(io.RawIOBase):
    """A socket as a file whose reader may not dawdle."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._sock.settimeout(_REQUEST_S)
        self._sock.sendall(data)
        return len(data)


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server_version = "rowplane"
    sys_version = ""
    default_request_version = "HTTP/1.1"  # what is no request at all gets a whole answer, too
    error_content_type = "text/plain; charset=utf-8"
    error_message_format = "%(message)s\n"
    server: _Listener

    def setup(self) -> None:
        self.connection = self.request
        self._reader = _Reader(self.connection)
        self.rfile = io.BufferedReader(self._reader)
        self.wfile = io.BufferedWriter(_Writer(self.connection))

    def handle_one_request(self) -> None:
        super().handle_one_request()
        self._reader.rest()

    def parse_request(self) -> bool:
        self.server.works(self.connection)  # its first line is there
        return super().parse_request()

    def finish(self) -> None:
        self.rfile.close()

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if "Transfer-Encoding" in self.headers or not (length.isascii() and length.isdecimal()):
            self._refuse(411, "the body needs a Content-Length")
        elif int(length) > _BODY_BYTES:
            self._refuse(413, f"the body has more than {_BODY_BYTES} bytes")
        else:
            body = self.rfile.read(int(length))
            if len(body) == int(length):
                self._answer(*self.server.respond(self.path.partition("?")[0], body))
            else:
                self.close_connection = True

    def do_GET(self) -> None:
        self._refuse(405, "only POST is answered here")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
        """Reviews are counted and logged where their content is known."""

    def log_error(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
        """Called for what is no request of HTTP, and for one that comes too slowly."""
        self.server.metrics.refused.labels("request").inc()
        log.debug("a request was refused", reason=format % args, client=self.client_address[0])

    def _refuse(self, status: int, text: str) -> None:
        self.server.metrics.refused.labels("request").inc()
        self.close_connection = True  # a body that was not read cannot be told from the next request
        self._answer(status, f"{text}\n".encode(), "text/plain; charset=utf-8")

    def _answer(self, status: int, body: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection or not self.server.keeps(self.connection):
            self.close_connection = True
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()


class _Listener(ThreadingMixIn, TCPServer):
    """Accepts; TLS begins in the connection's own thread."""

    allow_reuse_address = True
    request_queue_size = 128
    daemon_threads = False
    block_on_close = True

    def __init__(self, address: tuple[str, int], respond: Respond, metrics: Metrics) -> None:
        self.respond = respond
        self.metrics = metrics
        self.context: ssl.SSLContext | None = None
        self.is_stopping = False
        self._is_cut = False
        self._lock = threading.Condition()
        self._resting: set[socket.socket] = set()
        self._open = 0
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, _Handler)

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ARG002  # the base class's signature
        with self._lock:
            if self._open >= _CONNECTIONS:
                self.metrics.refused.labels("connections").inc()
                return False
            self._open += 1
            return True

    def finish_request(self, request: Any, client_address: Any) -> None:
        try:
            request.settimeout(_HANDSHAKE_S)
            request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.context is None:
                return
            with self.context.wrap_socket(request, server_side=True) as connection:
                try:
                    if self.takes(connection):
                        _Handler(connection, client_address, self)
                finally:
                    self.works(connection)
        finally:
            self._left()

    def process_request(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no thread can be had
            self._left()
            raise

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002  # the base class's signature
        """A client that breaks off, is too slow or does not trust us is counted; the server lives."""
        self.metrics.refused.labels("connection").inc()
        error = sys.exc_info()[1]
        if isinstance(error, OSError):
            log.debug("a connection broke off", error=str(error), client=client_address[0])
        else:
            log.error("a connection ended with an error", exc_info=error)

    def _left(self) -> None:
        with self._lock:
            self._open -= 1

    def takes(self, connection: socket.socket) -> bool:
        """A new connection waits for its first request; False when none will be taken."""
        with self._lock:
            return self._rests(connection, is_welcome=not self._is_cut)

    def keeps(self, connection: socket.socket) -> bool:
        """The connection will wait for its next request; False when the answer that is about to go out is its last.

        Said before the client has the answer: from then on it may ask again, and counts on being heard.
        """
        with self._lock:
            return self._rests(connection, is_welcome=not self.is_stopping)

    def _rests(self, connection: socket.socket, *, is_welcome: bool) -> bool:
        if is_welcome:
            self._resting.add(connection)
        return is_welcome

    def works(self, connection: socket.socket) -> None:
        """A request is being read or answered: the connection is not cut when the server stops."""
        with self._lock:
            self._resting.discard(connection)
            self._lock.notify_all()

    def drain(self) -> None:
        """Close every connection after its next answer; those that stay silent are cut after a second."""
        with self._lock:
            self.is_stopping = True
            self._lock.wait_for(lambda: not self._resting, _LINGER_S)

    def cut(self) -> None:
        """Take no request any more."""
        with self._lock:
            self._is_cut = True
            for connection in self._resting:
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)


class WebhookServer:
    """Listens from the start, answers once it has a certificate."""

    def __init__(self, address: tuple[str, int], respond: Respond, metrics: Metrics) -> None:
        try:
            self._listener = _Listener(address, respond, metrics)
        except OSError as error:
            raise UsageError(
                f"webhook cannot listen on {address[0]}:{address[1]}: {error.strerror}",
                mend="Set ROWPLANE_WEBHOOK_PORT to a free port",
            ) from error
        self._thread = threading.Thread(
            target=self._listener.serve_forever, kwargs={"poll_interval": 0.1}, name="https"
        )

    @property
    def port(self) -> int:
        """The port in use."""
        return int(self._listener.server_address[1])

    @property
    def has_certificate(self) -> bool:
        """Whether it can answer."""
        return self._listener.context is not None

    def serve(self, pair: KeyPair) -> None:
        """Use this certificate for connections from now on; those that are open go on with theirs.

        A context of its own for each: a certificate and its key cannot be replaced in one step on a live one.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        with tempfile.NamedTemporaryFile("wb", suffix=".pem") as file:  # ssl reads key pairs from files only
            file.write(pair.certificate + b"\n" + pair.key)
            file.flush()
            context.load_cert_chain(file.name)
        self._listener.context = context

    def start(self) -> None:
        """Begin to accept."""
        self._thread.start()

    def stop(self) -> None:
        """Let clients go, accept nothing more, finish the answers that are under way, close."""
        self._listener.drain()
        self._listener.shutdown()
        self._listener.cut()
        self._listener.server_close()
        self._thread.join()
