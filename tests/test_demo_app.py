"""The lab's demo app, as a real process."""

from __future__ import annotations

import asyncio
import socket
import time
import urllib.error
from signal import SIGTERM

import pytest
from demo_app import DemoApp, demo_app, launch

from kamalnb.lab.load.http import Ask, Connection, Lost, Target
from kamalnb.lab.load.websocket import CLOSE, PING, PONG, TEXT, EchoSocket, frame, handshake


def target(app: DemoApp) -> Target:
    return Target.of("app", app.url, host_header=None, lab_addresses=())


def ask(app: DemoApp, request: bytes) -> socket.socket:
    """A raw connection on which ``request`` was sent."""
    connection = socket.create_connection(("127.0.0.1", app.port), timeout=15)
    connection.sendall(request)
    return connection


def arrived(app: DemoApp, connection: socket.socket) -> socket.socket:
    """``connection``, what was sent on it read: the app reads in order, and answers a later one."""
    app.get("/version")
    return connection


def stops(app: DemoApp) -> str:
    """Asks the app to stop; what it then says. It takes no new connection any more once it has said it."""
    app.send(SIGTERM)
    assert app.process.stdout is not None
    return app.process.stdout.readline()


def read_until(connection: socket.socket, wanted: bytes) -> bytes:
    read = b""
    while wanted not in read:
        piece = connection.recv(65536)
        assert piece, read
        read += piece
    return read


def read_all(connection: socket.socket) -> bytes:
    with connection:
        return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.fixture(scope="module")
def app():
    with demo_app(VERSION="v7") as running:
        yield running


def test_every_answer_names_version_and_host(app):
    raw = read_all(ask(app, b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))
    head, _, body = raw.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK")
    assert b"X-Version: v7" in head
    assert f"X-Served-By: {socket.gethostname()}".encode() in head
    assert body == b"v7\n"


def test_version_tells_the_process(app):
    answer = app.get_json("/version")
    assert answer["version"] == "v7"
    assert answer["pid"] == app.process.pid
    assert app.get_json("/version")["served"] == answer["served"] + 1


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_health_answers_any_method(app, method):
    raw = read_all(ask(app, f"{method} /up HTTP/1.1\r\nConnection: close\r\n\r\n".encode()))
    assert raw.startswith(b"HTTP/1.1 200 OK")
    assert raw.endswith(b"\r\n\r\n") is (method == "HEAD")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /nowhere HTTP/1.1\r\n\r\n", b"404"),
        (b"DELETE / HTTP/1.1\r\n\r\n", b"405"),
        (b"nonsense\r\n\r\n", b"400"),
        (b"POST /orders HTTP/1.1\r\nContent-Length: 0\r\n\r\n", b"400"),
        (b"POST /orders HTTP/1.1\r\nContent-Length: x\r\n\r\n", b"400"),
        (b"POST /orders HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n", b"413"),
        (b"GET /ws HTTP/1.1\r\n\r\n", b"426"),
    ],
)
def test_what_makes_no_sense_gets_its_status(app, request_, status):
    with ask(app, request_) as connection:
        assert connection.recv(65536).split()[1] == status


def test_two_requests_sent_at_once_are_answered_in_order(app):
    both = b"GET / HTTP/1.1\r\n\r\nGET /version HTTP/1.1\r\nConnection: close\r\n\r\n"
    raw = read_all(ask(app, both))
    assert raw.count(b"HTTP/1.1 200 OK") == 2
    assert raw.index(b"v7\n") < raw.index(b'"pid"')


def test_orders_are_counted_from_header_json_and_chunks():
    posts = [
        b"POST /orders HTTP/1.1\r\nX-Request-Id: a\r\nContent-Length: 0\r\n\r\n",
        b'POST /orders HTTP/1.1\r\nContent-Length: 11\r\n\r\n{"id": "a"}',
        b'POST /orders HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"id"\r\n6\r\n: "b"}\r\n0\r\n\r\n',
    ]
    with demo_app() as app:
        with socket.create_connection(("127.0.0.1", app.port), timeout=5) as connection:
            for post, seen in zip(posts, (1, 2, 1), strict=True):
                connection.sendall(post)
                assert f'"seen": {seen}'.encode() in connection.recv(65536)
        assert app.get_json("/orders") == {"version": "v1", "orders": {"a": 2, "b": 1}}


def test_the_order_log_outlives_the_process(tmp_path):
    log = tmp_path / "orders"
    for version in ("v1", "v2"):
        with demo_app(VERSION=version, ORDERS_LOG=log, GRACEFUL=0) as app:
            request = f"POST /orders HTTP/1.1\r\nX-Request-Id: {version}-1\r\nContent-Length: 0\r\n\r\n"
            with ask(app, request.encode()) as connection:
                assert connection.recv(65536).split()[1] == b"200"
    assert log.read_text() == "v1-1\nv2-1\n"


def test_an_order_that_cannot_be_logged_is_not_accepted(tmp_path):
    with demo_app(ORDERS_LOG=tmp_path / "no such directory" / "orders") as app:
        with ask(app, b"POST /orders HTTP/1.1\r\nX-Request-Id: a\r\nContent-Length: 0\r\n\r\n") as connection:
            assert connection.recv(65536).split()[1] == b"500"
        assert app.get_json("/orders")["orders"] == {}


def test_events_stream_and_end_properly_at_sigterm():
    with demo_app() as app:
        connection = ask(app, b"GET /stream HTTP/1.1\r\n\r\n")
        raw = read_until(connection, b'data: {"version": "v1", "number": 0}')
        app.send(SIGTERM)
        raw += read_all(connection)
        assert raw.endswith(b"0\r\n\r\n")
        assert app.wait() == 0


def test_graceful_finishes_the_slow_request_after_sigterm():
    with demo_app() as app:
        connection = arrived(app, ask(app, b"GET /slow?seconds=2 HTTP/1.1\r\n\r\n"))
        assert "1 in flight" in stops(app)
        raw = read_all(connection)
        assert raw.startswith(b"HTTP/1.1 200 OK")
        assert b"Connection: close" in raw
        assert raw.endswith(b"v1 after 2 s\n")
        assert app.wait() == 0


def test_graceful_takes_no_new_connection_after_sigterm():
    with demo_app() as app:
        head = b"POST /orders HTTP/1.1\r\nX-Request-Id: a\r\nContent-Length: 1\r\n\r\n"
        unfinished = arrived(app, ask(app, head))  # its last byte comes when we send it: until then the app is there
        assert "1 in flight" in stops(app)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", app.port), timeout=5)
        unfinished.sendall(b"x")
        assert read_all(unfinished).startswith(b"HTTP/1.1 200 OK")


def test_graceful_answers_a_kept_connection_once_more_and_closes_it():
    with demo_app(IDLE_GRACE=20) as app, ask(app, b"GET / HTTP/1.1\r\n\r\n") as connection:
        connection.recv(65536)
        assert "1 idle" in stops(app)
        connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert b"Connection: close" in connection.recv(65536)
        assert connection.recv(65536) == b""
        assert app.wait() == 0


def test_graceful_does_not_wait_for_an_idle_connection():
    with demo_app() as app, ask(app, b"GET / HTTP/1.1\r\n\r\n") as connection:
        connection.recv(65536)
        before = time.monotonic()
        app.send(SIGTERM)
        assert connection.recv(65536) == b""
        assert app.wait() == 0
        assert time.monotonic() - before < 4  # it would wait for as long as we keep the connection


def test_rude_drops_the_slow_request_at_sigterm():
    with demo_app(GRACEFUL=0) as app:
        connection = arrived(app, ask(app, b"GET /slow?seconds=5 HTTP/1.1\r\n\r\n"))
        before = time.monotonic()
        app.send(SIGTERM)
        assert app.wait() == 128 + SIGTERM
        assert time.monotonic() - before < 4  # the request would take 5 s
        assert read_all(connection) == b""


def test_health_is_503_until_ready():
    with demo_app(READY_AFTER=3) as app:
        with pytest.raises(urllib.error.HTTPError, match="503") as error:
            app.get("/up")
        error.value.close()
        assert app.get("/") == "v1\n"
        until_healthy(app)
        assert app.get("/up") == "OK\n"


def until_healthy(app: DemoApp) -> None:
    end_at = time.monotonic() + 20
    while time.monotonic() < end_at:
        try:
            app.get("/up")
            return
        except urllib.error.HTTPError as error:
            error.close()
            time.sleep(0.05)


def test_never_healthy_serves_all_the_same():
    with demo_app(HEALTHY=0) as app:
        with pytest.raises(urllib.error.HTTPError, match="503") as error:
            app.get("/up")
        error.value.close()
        assert app.get("/") == "v1\n"


def test_exit_at_once_ends_with_1_and_says_so():
    with launch(EXIT_AT_ONCE=1) as process:
        out, _ = process.communicate(timeout=10)
    assert process.returncode == 1
    assert out == "v1 exits at once, as EXIT_AT_ONCE asks\n"


def test_a_taken_port_is_one_line_and_no_traceback():
    with demo_app() as app, launch(PORT=app.port) as process:
        out, _ = process.communicate(timeout=10)
    assert process.returncode == 1
    assert out.startswith(f"v1 cannot listen on 127.0.0.1:{app.port}")
    assert out.count("\n") == 1


def test_die_after_counts_from_the_first_answer_that_is_not_health():
    with demo_app(DIE_AFTER=0.15) as app:
        app.get("/up")
        time.sleep(0.2)
        assert app.get("/") == "v1\n"
        assert app.wait() == 1


def test_websocket_sends_version_echoes_pongs_and_closes(app):
    async def talk() -> list[tuple[bool, int, bytes]]:
        connection = await Connection.open(target(app))
        answer = await handshake(connection, target(app))
        assert answer.version == "v7"
        socket = EchoSocket(connection)
        long = "ü".encode() * 200
        for opcode, payload in ((TEXT, b"hello"), (PING, b"p"), (TEXT, long), (CLOSE, b"\x03\xe8")):
            connection.writer.write(frame(opcode, payload))
        frames = [await socket.receive() for _ in range(5)]
        assert await connection.reader.read() == b""
        connection.close()
        return frames

    long = "ü".encode() * 200
    frames = [(TEXT, b"v7"), (TEXT, b"hello"), (PONG, b"p"), (TEXT, long), (CLOSE, b"\x03\xe8")]
    assert asyncio.run(talk()) == [(True, *one) for one in frames]


def test_websocket_gets_a_close_frame_at_sigterm():
    async def talk(app: DemoApp) -> tuple[bool, int, bytes]:
        connection = await Connection.open(target(app))
        await handshake(connection, target(app))
        socket = EchoSocket(connection)
        await socket.receive()
        app.send(SIGTERM)
        last = await socket.receive()
        connection.writer.write(frame(CLOSE, last[2][:2]))
        assert await connection.reader.read() == b""
        connection.close()
        return last

    with demo_app() as app:
        assert asyncio.run(talk(app)) == (True, CLOSE, (1001).to_bytes(2, "big") + b"going away")
        assert app.wait() == 0


def test_an_unmasked_frame_is_a_protocol_error(app):
    async def talk() -> tuple[bool, int, bytes]:
        connection = await Connection.open(target(app))
        await handshake(connection, target(app))
        connection.writer.write(b"\x81\x02hi")
        socket = EchoSocket(connection)
        await socket.receive()
        last = await socket.receive()
        connection.close()
        return last

    final, opcode, payload = asyncio.run(talk())
    assert (opcode, payload[:2]) == (CLOSE, (1002).to_bytes(2, "big"))
    assert final


def test_a_request_under_way_when_sigterm_comes_before_the_head_is_whole_is_answered():
    with demo_app(IDLE_GRACE=20) as app:
        connection = arrived(app, ask(app, b"GET / HTTP/1.1\r\nHost:"))
        assert "1 idle" in stops(app)
        connection.sendall(b" x\r\n\r\n")
        assert read_all(connection).startswith(b"HTTP/1.1 200 OK")


def test_asking_a_stopped_app_is_lost():
    async def ask_once(app: DemoApp) -> None:
        connection = await Connection.open(target(app))
        await connection.ask(Ask(), target(app))

    with demo_app() as app:
        app.send(SIGTERM)
        assert app.wait() == 0
        with pytest.raises(Lost, match="refused"):
            asyncio.run(ask_once(app))
