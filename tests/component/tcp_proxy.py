"""A TCP forwarder on a port of its own: gives a test its private server id, and lets it cut connections."""

from __future__ import annotations

import contextlib
import socket
import threading


class TcpProxy:
    """Forwards 127.0.0.1:`port` to a target."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._lock = threading.Lock()
        self._is_refusing = self._is_stalling = False
        self._stalled: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        """The port to connect to."""
        return int(self._listener.getsockname()[1])

    def point_to(self, host: str, port: int, *, cut: bool = True) -> None:
        """Another target from now on; with `cut` every connection to the one before breaks."""
        self._target = (host, port)
        if cut:
            self.cut()

    def cut(self, *, refuse: bool = False) -> None:
        """Break every connection; with `refuse`, also every later one until `restore`."""
        with self._lock:
            self._is_refusing = refuse
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            _close(*pair)

    def stall(self, *, later: bool = False) -> None:
        """Swallow whatever goes through the present connections, without closing them (a half-open peer).

        With `later`, also what goes through every later one until `restore`.
        """
        with self._lock:
            self._is_stalling = later
            self._stalled.update(sock for pair in self._pairs for sock in pair)

    def restore(self) -> None:
        """Take connections again."""
        self._is_refusing = self._is_stalling = False

    def close(self) -> None:
        """Stop listening and break every connection."""
        self._listener.close()
        self.cut(refuse=True)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._is_refusing:
                _close(client)
                continue
            try:
                server = socket.create_connection(self._target, timeout=5)
            except OSError:
                _close(client)
                continue
            for sock in (client, server):
                sock.settimeout(None)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._pairs.append((client, server))
                if self._is_stalling:
                    self._stalled.update((client, server))
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if source not in self._stalled:
                    sink.sendall(data)
        _close(source, sink)


def _close(*sockets: socket.socket) -> None:
    for sock in sockets:
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
        sock.close()
