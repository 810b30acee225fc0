"""A reverse proxy before the API server: it answers in its place, stalls, cuts, loses answers, and holds a request.

It speaks plain HTTP on a port of its own, so that its kubeconfig is the stack's with another address and no CA.
Fed by: a product's reconcilers. Feeds: the real API server; tests, which see each request. Never: changes a body.
"""

from __future__ import annotations

import base64
import http.client
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import yaml

__all__ = ["ApiProxy", "Request", "Rule"]

_HOP: Final = frozenset(("connection", "keep-alive", "transfer-encoding", "content-length", "host"))
_COLLECTIONS: Final = 2


@dataclass
class Request:
    """One request as it came."""

    method: str
    path: str
    """With the query."""
    headers: dict[str, str]
    body: bytes

    @cached_property
    def _parts(self) -> list[str]:
        """`[namespaces, n, plural, name, subresource]`, or `[plural, …]` of what has no namespace."""
        parts = urlsplit(self.path).path.strip("/").split("/")
        return parts[2:] if parts[0] == "api" else parts[3:]

    @property
    def namespace(self) -> str:
        """Empty for what has none, and for lists of all."""
        return self._parts[1] if self._parts[:1] == ["namespaces"] and len(self._parts) > _COLLECTIONS else ""

    @property
    def _object(self) -> list[str]:
        return self._parts[2:] if self.namespace else self._parts

    @property
    def plural(self) -> str:
        """`services`; empty for discovery."""
        return next(iter(self._object), "")

    @property
    def name(self) -> str:
        """Empty for a collection."""
        return self._object[1] if len(self._object) > 1 else ""

    @property
    def subresource(self) -> str:
        """`status`, or empty."""
        return self._object[2] if len(self._object) > _COLLECTIONS else ""

    @property
    def is_watch(self) -> bool:
        """Whether it is to go on for ever."""
        return "watch" in parse_qs(urlsplit(self.path).query)

    @property
    def is_write(self) -> bool:
        """Whether it is to change something."""
        return self.method != "GET"


Matches = Callable[[Request], bool]


@dataclass
class Answer:
    """What the API server did not say."""

    code: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


class Rule:
    """What is to happen to the requests that match, at most `times` of them (None: all)."""

    def __init__(self, matches: Matches, times: int | None) -> None:
        self.matches = matches
        self.hits: list[Request] = []
        self.reached = threading.Event()
        """Set when the first one is there."""
        self.released = threading.Event()
        """Lets go of what is stalled or held; set at the end of the fault."""
        self._times = times

    def takes(self, request: Request) -> bool:
        """Whether it is this rule's; called under the proxy's lock."""
        if (self._times is not None and len(self.hits) >= self._times) or not self.matches(request):
            return False
        self.hits.append(request)
        self.reached.set()
        return True

    def before(self) -> Answer | None:
        """What is answered in the API server's place; None: it is asked. Raises ConnectionAbortedError to cut."""
        return None

    def after(self) -> None:
        """What happens between the API server's answer and its delivery. Raises ConnectionAbortedError to lose it."""


class Answers(Rule):
    """A status instead of the API server's answer."""

    def __init__(self, matches: Matches, times: int | None, code: int, retry_after: str = "") -> None:
        super().__init__(matches, times)
        reason = {409: "Conflict", 422: "Invalid", 429: "TooManyRequests", 503: "ServiceUnavailable"}
        status = {
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Failure",
            "message": f"the proxy answers {code}",
            "reason": reason.get(code, "InternalError"),
            "code": code,
        }
        headers = {"Content-Type": "application/json", **({"Retry-After": retry_after} if retry_after else {})}
        self._answer = Answer(code, headers, json.dumps(status).encode())

    def before(self) -> Answer | None:
        return self._answer


class Stalls(Rule):
    """Nothing happens for a while; then the connection ends and the API server has not been asked."""

    def __init__(self, matches: Matches, times: int | None, seconds: float) -> None:
        super().__init__(matches, times)
        self._seconds = seconds

    def before(self) -> Answer | None:
        self.released.wait(self._seconds)
        raise ConnectionAbortedError


class Cuts(Rule):
    """The connection ends at once, before the API server is asked."""

    def before(self) -> Answer | None:
        raise ConnectionAbortedError


class Loses(Rule):
    """The API server does what it was asked for, and its answer is lost."""

    def after(self) -> None:
        raise ConnectionAbortedError


class Holds(Rule):
    """The first request that matches, and all writes after it, wait before they reach the API server, until released.

    They never do reach it: whoever holds one of these connections has died meanwhile. With `done` the first one has
    reached it, and only its answer is held.
    """

    def __init__(self, matches: Matches, *, done: bool, skip: int = 0) -> None:
        super().__init__(matches, None)
        self._done = done
        self._skip = skip
        self._lock = threading.Lock()
        self._seen = 0

    def takes(self, request: Request) -> bool:
        """The first one counts after `skip` others; from then on every write of that client's."""
        if not self.matches(request):
            return False
        self._seen += 1
        if self._seen <= self._skip:
            return False
        self.hits.append(request)
        return True

    def before(self) -> Answer | None:
        with self._lock:
            is_first = not self.reached.is_set()
            if is_first and self._done:
                return None
            if is_first:
                self.reached.set()
        self.released.wait()
        raise ConnectionAbortedError

    def after(self) -> None:
        self.reached.set()
        self.released.wait()
        raise ConnectionAbortedError


class ApiProxy:
    """127.0.0.1:`port`; the newest rule that takes a request decides."""

    def __init__(self, kubeconfig: Path) -> None:
        document = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))
        (cluster,) = document["clusters"]
        target = urlsplit(cluster["cluster"]["server"])
        self._target = target.hostname or "", target.port or 443
        self._tls = _trust(cluster["cluster"])
        self._document = document
        self._lock = threading.Lock()
        self._rules: list[Rule] = []
        self._watches: set[socket.socket] = set()
        self.token: tuple[Matches, str] | None = None
        """Requests that match go out as somebody else."""
        self.requests: list[Request] = []
        proxy = self

        class Handler(_Handler):
            def handle_one(self, request: Request) -> None:
                proxy.handle(self, request)

        self._server = _Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def write_kubeconfig(self, path: Path) -> Path:
        """The stack's kubeconfig, through this proxy."""
        document = json.loads(json.dumps(self._document))
        document["clusters"][0]["cluster"] = {"server": f"http://127.0.0.1:{self._server.server_address[1]}"}
        path.write_text(yaml.safe_dump(document), encoding="utf-8")
        path.chmod(0o600)
        return path

    @contextmanager
    def fault(self, rule: Rule) -> Iterator[Rule]:
        """The rule holds meanwhile."""
        with self._lock:
            self._rules.insert(0, rule)
        try:
            yield rule
        finally:
            with self._lock:
                self._rules.remove(rule)
            rule.released.set()

    def cut_watches(self) -> None:
        """End every open watch in the middle of whatever it says."""
        with self._lock:
            watches = list(self._watches)
        for sock in watches:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Take no request any more."""
        self._server.shutdown()
        self._server.server_close()
        self.cut_watches()

    def handle(self, handler: _Handler, request: Request) -> None:
        """One request, from its rule to its answer."""
        with self._lock:
            self.requests.append(request)
            rule = next((r for r in self._rules if r.takes(request)), None)
        answer = rule.before() if rule is not None else None
        if answer is not None:
            handler.answer(answer)
        elif request.is_watch:
            self._stream(handler, request)
        else:
            response = self._ask(handler, request)
            body = response.read()
            if rule is not None:
                rule.after()
            handler.answer(Answer(response.status, _kept(response), body))

    def _ask(self, handler: _Handler, request: Request) -> http.client.HTTPResponse:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP}
        if self.token is not None and self.token[0](request):
            headers = {n: v for n, v in headers.items() if n.lower() != "authorization"}
            headers["Authorization"] = f"Bearer {self.token[1]}"
        connection = handler.upstream
        if connection is None:
            connection = http.client.HTTPSConnection(*self._target, context=self._tls, timeout=90.0)
            connection.connect()
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            handler.upstream = connection
        connection.request(request.method, request.path, request.body or None, headers)
        return connection.getresponse()

    def _stream(self, handler: _Handler, request: Request) -> None:
        response = self._ask(handler, request)
        sock = handler.connection
        with self._lock:
            self._watches.add(sock)
        try:
            handler.begin(Answer(response.status, _kept(response)))
            while data := response.read1(65536):
                handler.chunk(data)
            handler.chunk(b"")
        finally:
            with self._lock:
                self._watches.discard(sock)
            handler.close_connection = True


class _Server(ThreadingHTTPServer):
    """A client that goes is no error."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """The client was killed, or its answer was taken from it."""


class _Handler(BaseHTTPRequestHandler):
    """HTTP as the client speaks it; one connection to the API server for each of its own."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    upstream: http.client.HTTPSConnection | None = None

    def handle_one(self, request: Request) -> None:
        raise NotImplementedError

    def do_GET(self) -> None:
        """A read, and every write, too."""
        length = int(self.headers.get("Content-Length") or 0)
        request = Request(self.command, self.path, dict(self.headers.items()), self.rfile.read(length))
        try:
            self.handle_one(request)
        except (OSError, http.client.HTTPException):
            self.close_connection = True
            with suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)

    def finish(self) -> None:
        with suppress(OSError):
            super().finish()
        if self.upstream is not None:
            self.upstream.close()

    def answer(self, answer: Answer) -> None:
        """All at once."""
        self.send_response_only(answer.code)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)
        self.wfile.flush()

    def begin(self, answer: Answer) -> None:
        """The head of an answer that comes in chunks."""
        self.send_response_only(answer.code)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()

    def chunk(self, data: bytes) -> None:
        """One chunk; an empty one is the last."""
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
        """Requests are kept by the proxy."""


for _method in ("PATCH", "POST", "PUT", "DELETE"):
    setattr(_Handler, f"do_{_method}", _Handler.do_GET)


def _kept(response: http.client.HTTPResponse) -> dict[str, str]:
    return {name: value for name, value in response.getheaders() if name.lower() not in _HOP}


def _trust(cluster: dict[str, Any]) -> ssl.SSLContext:
    data = cluster.get("certificate-authority-data")
    if data:
        return ssl.create_default_context(cadata=base64.b64decode(data).decode())
    return ssl.create_default_context(cafile=cluster.get("certificate-authority"))
