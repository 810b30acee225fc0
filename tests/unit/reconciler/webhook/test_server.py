"""The HTTPS server over the loopback: good clients are served whatever bad ones do."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator

import pytest

from reconciler.webhook import server as module
from reconciler.webhook.certificates import KeyPair, make_key_pair
from reconciler.webhook.metrics import Metrics
from reconciler.webhook.server import Reply, WebhookServer
from shared.errors import UsageError
from tests.unit.reconciler.webhook.clients import TIMEOUT_S, Caller, exchange, tls

NAMES = frozenset(("127.0.0.1",))


class Service:
    """A server that echoes, and that a test can hold in the middle of an answer."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.pair = make_key_pair(NAMES, time.time(), 3600.0)
        self.held = threading.Event()
        self.go_on = threading.Event()
        self.server = WebhookServer(("127.0.0.1", 0), self.respond, self.metrics)
        self.is_stopped = False

    def respond(self, path: str, body: bytes) -> Reply:
        if path == "/hold":
            self.held.set()
            self.go_on.wait(TIMEOUT_S)
        return 200, body, "application/json"

    @property
    def port(self) -> int:
        return self.server.port

    def caller(self, pair: KeyPair | None = None) -> Caller:
        return Caller(self.port, (pair or self.pair).authority)

    def refused(self, reason: str) -> float:
        return self.metrics.registry.get_sample_value("rowplane_webhook_refused_total", {"reason": reason}) or 0.0

    def stop(self) -> None:
        if not self.is_stopped:
            self.is_stopped = True
            self.go_on.set()
            self.server.stop()


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service()
    made.server.serve(made.pair)
    made.server.start()
    yield made
    made.stop()


# -- good clients -----------------------------------------------------------------------------------------------------


def test_many_requests_share_a_connection(service: Service) -> None:
    with service.caller() as caller:
        assert caller.post("/x", b"one") == (200, b"one")
        before = caller.sock
        for number in range(50):
            assert caller.post("/x?timeout=10s", b"%d" % number) == (200, b"%d" % number)
        assert caller.sock is before


def test_a_large_body_is_taken(service: Service) -> None:
    body = b"x" * (6 << 20)
    with service.caller() as caller:
        assert caller.post("/x", body) == (200, body)


def test_old_tls_is_not_spoken(service: Service) -> None:
    context = ssl.create_default_context(cadata=service.pair.authority.decode())
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with (
        socket.create_connection(("127.0.0.1", service.port), TIMEOUT_S) as plain,
        pytest.raises(ssl.SSLError),
    ):
        context.wrap_socket(plain, server_hostname="127.0.0.1")


def test_a_new_certificate_is_for_new_connections(service: Service) -> None:
    other = make_key_pair(NAMES, time.time(), 3600.0)
    with service.caller() as old:
        assert old.post("/x", b"1")[0] == 200
        service.server.serve(other)
        assert old.post("/x", b"2")[0] == 200
        with service.caller(other) as new:
            assert new.post("/x", b"3")[0] == 200
        with service.caller() as late, pytest.raises(ssl.SSLCertVerificationError):
            late.post("/x", b"4")


def test_certificates_swap_under_load_without_a_failed_handshake(service: Service) -> None:
    pairs = [service.pair, make_key_pair(NAMES, time.time(), 3600.0)]
    bundle = pairs[0].authority + pairs[1].authority
    done = threading.Event()

    def swap() -> None:
        number = 0
        while not done.is_set():
            number += 1
            service.server.serve(pairs[number % 2])

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        for number in range(100):
            with Caller(service.port, bundle) as caller:
                assert caller.post("/x", b"%d" % number)[0] == 200
    finally:
        done.set()
        thread.join()


# -- bad clients ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x00\xff rubbish\r\n\r\n", b"400"),
        (b"GET /x HTTP/1.1\r\n\r\n", b"405"),
        (b"BREW /x HTTP/1.1\r\n\r\n", b"501"),
        (b"POST /x HTTP/1.1\r\n\r\n", b"411"),
        (b"POST /x HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"411"),
        (b"POST /x HTTP/1.1\r\nContent-Length: 1e3\r\n\r\n", b"411"),
        (b"POST /x HTTP/1.1\r\nContent-Length: \xb2\r\n\r\n", b"411"),
        (b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"411"),
        (b"POST /x HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n", b"413"),
        (b"POST /x HTTP/1.1\r\n" + b"X: y\r\n" * 200 + b"\r\n", b"431"),
        (b"POST /" + b"x" * 70000 + b" HTTP/1.1\r\n\r\n", b"414"),
    ],
)
def test_nonsense_is_answered_in_words_and_the_connection_closed(service: Service, data: bytes, status: bytes) -> None:
    with tls(service.port, service.pair.authority) as sock:
        head, _, body = exchange(sock, data).partition(b"\r\n\r\n")
    assert head.split()[1] == status
    assert b"<html" not in body.lower()
    assert body.strip()


def test_who_speaks_no_tls_is_left(service: Service) -> None:
    with (
        socket.create_connection(("127.0.0.1", service.port), TIMEOUT_S) as plain,
        contextlib.suppress(ConnectionError),
    ):
        exchange(plain, b"GET / HTTP/1.1\r\n\r\n")
    with service.caller() as caller:
        assert caller.post("/x", b"1")[0] == 200


def test_a_body_that_breaks_off_is_forgotten(service: Service) -> None:
    with tls(service.port, service.pair.authority) as sock:
        sock.sendall(b"POST /x HTTP/1.1\r\nContent-Length: 100\r\n\r\nhalf")
        sock.shutdown(socket.SHUT_RDWR)
    with service.caller() as caller:
        assert caller.post("/x", b"1")[0] == 200


def test_silent_and_slow_clients_stop_nobody(service: Service) -> None:
    """Forty say nothing, forty shake hands and say nothing, forty send half a request and stop."""
    with contextlib.ExitStack() as stack:
        for _ in range(40):
            stack.enter_context(socket.create_connection(("127.0.0.1", service.port), TIMEOUT_S))
            stack.enter_context(tls(service.port, service.pair.authority))
            half = stack.enter_context(tls(service.port, service.pair.authority))
            half.sendall(b"POST /x HTTP/1.1\r\nContent-Length: 10\r\n\r\nhal")
        with service.caller() as caller:
            for number in range(20):
                assert caller.post("/x", b"%d" % number)[0] == 200


def test_a_client_that_trickles_is_cut_off(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte comes in time, the request as a whole does not."""
    monkeypatch.setattr(module, "_REQUEST_S", 0.5)
    with tls(service.port, service.pair.authority) as sock:
        sock.sendall(b"POST /x HTTP/1.1\r\nX: ")
        sock.settimeout(0.05)
        assert not trickle(sock)
    assert service.refused("request") == 1


def test_an_idle_connection_outlives_the_time_that_a_request_has(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_REQUEST_S", 0.3)
    with service.caller() as idle:
        assert idle.post("/x", b"1")[0] == 200
        before = idle.sock
        with tls(service.port, service.pair.authority) as half:
            assert exchange(half, b"POST /x HTTP/1.1\r\n") == b""  # cut off: so long has it been
        assert idle.post("/x", b"2")[0] == 200
        assert idle.sock is before


def trickle(sock: ssl.SSLSocket) -> bytes:
    """What is answered, nothing when cut off, to a client that sends a byte now and then."""
    deadline_s = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline_s:
        try:
            sock.sendall(b"y")
            return sock.recv(100)
        except TimeoutError:
            continue
        except OSError:
            return b""
    return b"nothing happened"


def test_a_client_that_never_shakes_hands_is_cut_off(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_HANDSHAKE_S", 0.2)
    with socket.create_connection(("127.0.0.1", service.port), TIMEOUT_S) as plain:
        assert plain.recv(1) == b""


def test_too_many_connections_are_turned_away_and_come_in_again_later(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_CONNECTIONS", 2)
    with service.caller() as one, service.caller() as two:
        assert one.post("/x", b"1")[0] == two.post("/x", b"1")[0] == 200
        with service.caller() as three, pytest.raises(OSError, match=r".*"):
            three.post("/x", b"1")
    deadline_s = time.monotonic() + TIMEOUT_S
    while True:  # the server notices the closed ones on its own time
        with contextlib.suppress(OSError), service.caller() as four:
            assert four.post("/x", b"1")[0] == 200
            break
        assert time.monotonic() < deadline_s


# -- the end ----------------------------------------------------------------------------------------------------------


def test_what_is_under_way_is_finished_and_nothing_more_is_taken(service: Service) -> None:
    answers: list[tuple[int, bytes]] = []

    def call() -> None:
        with service.caller() as caller:
            answers.append(caller.post("/hold", b"slow"))

    idle = service.caller()
    assert idle.post("/x", b"1")[0] == 200
    calling = threading.Thread(target=call)
    calling.start()
    assert service.held.wait(TIMEOUT_S)
    stopping = threading.Thread(target=service.server.stop)
    service.is_stopped = True
    stopping.start()
    with idle:
        assert idle.sock.recv(1) == b""  # cut, while the other one is still held
    assert not answers
    service.go_on.set()
    stopping.join(TIMEOUT_S)
    calling.join(TIMEOUT_S)
    assert answers == [(200, b"slow")]
    with pytest.raises(ConnectionRefusedError), service.caller() as late:
        late.post("/x", b"1")


def test_while_it_stops_each_connection_has_one_more_answer(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LINGER_S", TIMEOUT_S)
    with service.caller() as idle:
        assert idle.post("/x", b"1")[0] == 200
        assert not idle.is_last
        service.is_stopped = True
        stopping = threading.Thread(target=service.server.stop)
        stopping.start()
        deadline_s = time.monotonic() + TIMEOUT_S
        is_told = False
        while not is_told and time.monotonic() < deadline_s:
            try:
                with service.caller() as new:
                    assert new.post("/x", b"2")[0] == 200
                    is_told = new.is_last
            except ConnectionError:
                is_told = True  # it listens no more: what came in the instant before is reset, unaccepted
        assert is_told
        assert idle.post("/x", b"3") == (200, b"3")
        assert idle.is_last
    stopping.join(TIMEOUT_S)
    assert not stopping.is_alive()


def test_a_connection_that_was_just_answered_has_one_more_answer_too(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was closed without a word when the server stopped between its answer and the wait for its next request."""
    is_slow, was_answered = threading.Event(), threading.Event()
    rest = module._Reader.rest

    def dawdle(reader: module._Reader) -> None:
        was_answered.set()
        assert is_slow.wait(TIMEOUT_S)
        rest(reader)

    monkeypatch.setattr(module, "_LINGER_S", TIMEOUT_S)
    monkeypatch.setattr(module._Reader, "rest", dawdle)
    with service.caller() as caller:
        assert caller.post("/x", b"1")[0] == 200
        assert not caller.is_last
        assert was_answered.wait(TIMEOUT_S)
        service.is_stopped = True
        stopping = threading.Thread(target=service.server.stop)
        stopping.start()
        stopping.join(0.3)  # longer than it takes to stop when no connection is waited for
        is_slow.set()
        assert caller.post("/x", b"2") == (200, b"2")
        assert caller.is_last
    stopping.join(TIMEOUT_S)
    assert not stopping.is_alive()


def test_a_port_in_use_is_a_sentence(service: Service) -> None:
    with pytest.raises(UsageError, match=f"webhook cannot listen on 127.0.0.1:{service.port}") as caught:
        WebhookServer(("127.0.0.1", service.port), service.respond, service.metrics)
    assert "ROWPLANE_WEBHOOK_PORT" in caught.value.mend
