"""HTTPS clients of the webhook that say exactly the bytes they are told to.

Fed by: tests. Feeds: tests of the webhook. Never: asserts anything.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from typing import Any

TIMEOUT_S = 20.0


def trusting(authority: bytes) -> ssl.SSLContext:
    """A context that trusts one authority (PEM)."""
    context = ssl.create_default_context(cadata=authority.decode())
    context.check_hostname = True
    return context


class Caller:
    """One keep-alive connection to 127.0.0.1."""

    def __init__(self, port: int, authority: bytes) -> None:
        self.is_last = False
        """Whether the server closes the connection after the last answer."""
        self._connection = http.client.HTTPSConnection(
            "127.0.0.1", port, timeout=TIMEOUT_S, context=trusting(authority)
        )

    def __enter__(self) -> Caller:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    @property
    def sock(self) -> Any:
        """The connection's socket, None when it is closed."""
        return self._connection.sock

    def post(self, path: str, body: bytes | dict[str, Any]) -> tuple[int, bytes]:
        """(status, body) of a POST."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self._connection.request("POST", path, data, {"Content-Type": "application/json"})
        answer = self._connection.getresponse()
        self.is_last = answer.will_close
        return answer.status, answer.read()


def tls(port: int, authority: bytes) -> ssl.SSLSocket:
    """A connection on which nothing has been said."""
    plain = socket.create_connection(("127.0.0.1", port), TIMEOUT_S)
    return trusting(authority).wrap_socket(plain, server_hostname="127.0.0.1")


def exchange(sock: socket.socket, data: bytes) -> bytes:
    """Send bytes, and read until the other side closes."""
    sock.sendall(data)
    found = b""
    while part := sock.recv(65536):
        found += part
    return found
