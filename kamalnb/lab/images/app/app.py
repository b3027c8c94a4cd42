"""The lab's demo app: one file, standard library only, made to be deployed over and over and to be counted.

It runs as PID 1 of a container. Environment:

    VERSION       what it calls itself (default "dev")
    PORT, BIND    where it listens (3000, 0.0.0.0); port 0 takes a free one and logs it
    HEALTH_PATH   its health path (/up)
    GRACEFUL      1: at SIGTERM finish what is in flight, say goodbye, exit 0; 0: exit at once, dropping everything
    READY_AFTER   seconds after the start until the health path answers 200 (0)
    HEALTHY       0: the health path answers 503 for ever
    EXIT_AT_ONCE  1: end with exit code 1 before listening
    DIE_AFTER     seconds after its first answer outside the health path until it dies, exit code 1; 0: never
    ORDERS_LOG    file that gets one line per POST /orders (one append each, so containers can share it)
    IDLE_GRACE    seconds a kept connection stays after SIGTERM, for a request that is already on its way (0.3)

Paths: HEALTH_PATH (any method), / , /version, /orders (POST counts an id, GET lists them), /slow?seconds=3,
/ws (WebSocket echo, RFC 6455), /stream (server-sent events). Each answer names X-Version and X-Served-By.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import re
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

STARTED = time.monotonic()
HOST = socket.gethostname()
CLOSE_WAIT = 1.0  # seconds a WebSocket client has to answer our close frame
MAX_BODY = 1_000_000
ORDER_ID = re.compile(r"[\w.:/-]{1,200}")
REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 500: "Internal Server Error"}
REASONS |= {413: "Content Too Large", 426: "Upgrade Required", 503: "Service Unavailable"}
WEBSOCKET_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
GOING_AWAY, PROTOCOL_ERROR, TOO_BIG = 1001, 1002, 1009


@dataclass(frozen=True)
class Settings:
    """The environment, read once."""

    version: str
    port: int
    bind: str
    health_path: str
    graceful: bool
    ready_after: float
    healthy: bool
    exit_at_once: bool
    die_after: float
    orders_log: str
    idle_grace: float

    @classmethod
    def read(cls, env: dict[str, str]) -> Settings:
        return cls(
            version=env.get("VERSION") or "dev",
            port=int(env.get("PORT") or 3000),
            bind=env.get("BIND") or "0.0.0.0",  # noqa: S104  (inside a container)
            health_path=env.get("HEALTH_PATH") or "/up",
            graceful=env.get("GRACEFUL", "1") != "0",
            ready_after=float(env.get("READY_AFTER") or 0),
            healthy=env.get("HEALTHY", "1") != "0",
            exit_at_once=env.get("EXIT_AT_ONCE", "0") not in ("", "0"),
            die_after=float(env.get("DIE_AFTER") or 0),
            orders_log=env.get("ORDERS_LOG", ""),
            idle_grace=float(env.get("IDLE_GRACE") or 0.3),
        )


@dataclass
class Request:
    """One request, its body read."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes = b""
    keep: bool = True


@dataclass(frozen=True)
class Answer:
    """What goes back. ``body`` is text or something for JSON."""

    status: int = 200
    body: object = ""
    headers: tuple[str, ...] = ()


class BadRequest(Exception):
    """The client sent something that is not HTTP, or too much of it."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


def log(text: str) -> None:
    print(text, flush=True)


@dataclass(eq=False)
class Connection:
    """One client's connection; ``busy`` from the arrival of a request's head to the end of its answer."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    busy: bool = False
    websocket: bool = False
    closing: bool = False

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()


@dataclass
class App:
    """The server's state: counters, connections, and whether it is going away."""

    settings: Settings
    served: int = 0
    orders: Counter[str] = field(default_factory=Counter)
    connections: dict[asyncio.Task[None], Connection] = field(default_factory=dict)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    dying: asyncio.TimerHandle | None = None

    # -- life ---------------------------------------------------------------------------------------------------
    async def run(self) -> None:
        """Serves until SIGTERM, then finishes what is in flight."""
        loop = asyncio.get_running_loop()
        if self.settings.graceful:
            loop.add_signal_handler(signal.SIGTERM, self.stopping.set)
        loop.add_signal_handler(signal.SIGINT, self.stopping.set)
        server = await asyncio.start_server(self.accept, self.settings.bind, self.settings.port, backlog=1024)
        how = "graceful" if self.settings.graceful else "rude"
        port = server.sockets[0].getsockname()[1]
        log(f"{self.settings.version} listens on {self.settings.bind}:{port}, {how}, pid {os.getpid()}")
        await self.stopping.wait()
        for _ in range(3):  # whoever was already in the accept queue is let in: closing the socket would reset them
            await asyncio.sleep(0)
        server.close()
        await self.finish()
        log(f"{self.settings.version} stopped, {self.served} requests served")

    async def finish(self) -> None:
        """Lets requests end, says goodbye to WebSockets, and closes idle connections after a moment."""
        busy = sum(c.busy for c in self.connections.values())
        log(f"{self.settings.version} stops: {busy} in flight, {len(self.connections) - busy} idle")
        for connection in self.connections.values():
            if connection.websocket:
                self.say_goodbye(connection)
        if self.connections:
            await asyncio.wait(self.connections, timeout=self.settings.idle_grace)
        for connection in self.connections.values():
            if not connection.busy:
                connection.writer.close()
        while self.connections:
            await asyncio.wait(self.connections)

    def say_goodbye(self, connection: Connection) -> None:
        if connection.closing or connection.writer.is_closing():
            return
        connection.closing = True
        connection.writer.write(frame(CLOSE, GOING_AWAY.to_bytes(2, "big") + b"going away"))
        asyncio.get_running_loop().call_later(CLOSE_WAIT, connection.writer.close)

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(reader, writer)
        task = asyncio.create_task(self.serve(connection))
        self.connections[task] = connection
        task.add_done_callback(self.connections.pop)

    async def serve(self, connection: Connection) -> None:
        try:
            await self.converse(connection)
        except (ConnectionError, asyncio.IncompleteReadError, TimeoutError):
            pass  # the client went away: its business
        except asyncio.LimitOverrunError:
            await self.reply(connection, None, Answer(400, "the request's head is too long"))
        except BadRequest as error:
            await self.reply(connection, None, Answer(error.status, str(error)))
        except Exception as error:  # nothing may take the server down
            log(f"{self.settings.version} error: {type(error).__name__}: {error}")
        finally:
            connection.writer.close()

    # -- HTTP ---------------------------------------------------------------------------------------------------
    async def converse(self, connection: Connection) -> None:
        while True:
            connection.busy = False
            head = await connection.reader.readuntil(b"\r\n\r\n")
            connection.busy = True
            request = await self.read(head, connection)
            if request.path == "/ws" and request.method == "GET":
                request.keep = False
                await self.websocket(request, connection)
            elif request.path == "/stream" and request.method == "GET":
                request.keep = False
                await self.stream(connection)
            else:
                await self.reply(connection, request, await self.answer(request))
            if not request.keep or self.stopping.is_set():
                return

    async def read(self, head: bytes, connection: Connection) -> Request:
        request = parse_head(head)
        if request.headers.get("expect", "").lower() == "100-continue":
            await connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        if "chunked" in request.headers.get("transfer-encoding", "").lower():
            request.body = await read_chunks(connection.reader)
        elif length := request.headers.get("content-length"):
            if not length.isdigit():
                raise BadRequest(400, "Content-Length is not a number")
            if int(length) > MAX_BODY:
                raise BadRequest(413, f"bodies end at {MAX_BODY} bytes here")
            request.body = await connection.reader.readexactly(int(length))
        return request

    async def answer(self, request: Request) -> Answer:
        if request.path == self.settings.health_path:
            return self.health()
        routes: dict[str, dict[str, Callable[[Request], Awaitable[Answer]]]] = {
            "/": {"GET": self.home},
            "/version": {"GET": self.version},
            "/orders": {"GET": self.list_orders, "POST": self.order},
            "/slow": {"GET": self.slow, "POST": self.slow},
        }
        methods = routes.get(request.path)
        if methods is None:
            return Answer(404, f"nothing at {request.path}\n")
        handler = methods.get("GET" if request.method == "HEAD" else request.method)
        if handler is None:
            return Answer(405, f"{request.path} takes {', '.join(methods)}\n", ("Allow: " + ", ".join(methods),))
        try:
            return await handler(request)
        except Exception as error:  # a demo app must say what happened and go on serving
            log(f"{self.settings.version} error: {request.method} {request.path}: {type(error).__name__}: {error}")
            return Answer(500, f"{type(error).__name__}\n")

    async def reply(self, connection: Connection, request: Request | None, answer: Answer) -> None:
        kind = "text/plain; charset=utf-8" if isinstance(answer.body, str) else "application/json"
        body = (answer.body if isinstance(answer.body, str) else json.dumps(answer.body) + "\n").encode()
        extra = [f"Content-Type: {kind}", f"Content-Length: {len(body)}", *answer.headers]
        if request is None or not request.keep or self.stopping.is_set():
            extra.append("Connection: close")
        if request is not None and request.method == "HEAD":
            body = b""
        await connection.send(self.head(answer.status, extra) + body)
        if request is not None and request.path != self.settings.health_path:
            self.count()

    def head(self, status: int, lines: list[str], reason: str = "") -> bytes:
        ours = [f"X-Version: {self.settings.version}", f"X-Served-By: {HOST}"]
        first = f"HTTP/1.1 {status} {reason or REASONS.get(status, 'Status')}"
        return "\r\n".join([first, *ours, *lines, "", ""]).encode("latin-1", "replace")

    def count(self) -> None:
        self.served += 1
        if self.settings.die_after and self.dying is None:
            self.dying = asyncio.get_running_loop().call_later(self.settings.die_after, self.die)

    def die(self) -> None:
        log(f"{self.settings.version} dies, as DIE_AFTER asks, {self.served} requests served")
        os._exit(1)

    # -- paths --------------------------------------------------------------------------------------------------
    def health(self) -> Answer:
        if not self.settings.healthy:
            return Answer(503, "never healthy\n")
        left = self.settings.ready_after - (time.monotonic() - STARTED)
        return Answer(503, f"ready in {left:.1f} s\n") if left > 0 else Answer(200, "OK\n")

    async def home(self, request: Request) -> Answer:
        return Answer(200, self.settings.version + "\n")

    async def version(self, request: Request) -> Answer:
        about = {"version": self.settings.version, "host": HOST, "pid": os.getpid(), "served": self.served}
        return Answer(200, about)

    async def list_orders(self, request: Request) -> Answer:
        return Answer(200, {"version": self.settings.version, "orders": dict(self.orders)})

    async def order(self, request: Request) -> Answer:
        order_id = find_order_id(request)
        if not ORDER_ID.fullmatch(order_id):
            return Answer(400, 'send an id: the header X-Request-Id, or {"id": "..."} as JSON\n')
        if self.settings.orders_log:
            append(self.settings.orders_log, order_id.encode() + b"\n")
        self.orders[order_id] += 1
        return Answer(200, {"version": self.settings.version, "id": order_id, "seen": self.orders[order_id]})

    async def slow(self, request: Request) -> Answer:
        try:
            seconds = float(request.query.get("seconds", ["3"])[0])
        except ValueError:
            return Answer(400, "seconds is a number\n")
        await asyncio.sleep(min(max(seconds, 0.0), 300.0))
        return Answer(200, f"{self.settings.version} after {seconds:g} s\n")

    async def stream(self, connection: Connection) -> None:
        """Server-sent events, one each 0.2 s, until the client or this process goes; a stream ends properly."""
        lines = ["Content-Type: text/event-stream", "Cache-Control: no-cache"]
        await connection.send(self.head(200, [*lines, "Transfer-Encoding: chunked", "Connection: close"]))
        self.count()
        number = 0
        while not self.stopping.is_set():
            event = f"data: {json.dumps({'version': self.settings.version, 'number': number})}\n\n".encode()
            await connection.send(b"%x\r\n%s\r\n" % (len(event), event))
            number += 1
            with suppress(TimeoutError):
                await asyncio.wait_for(self.stopping.wait(), 0.2)
        await connection.send(b"0\r\n\r\n")

    # -- WebSocket ----------------------------------------------------------------------------------------------
    async def websocket(self, request: Request, connection: Connection) -> None:
        key = request.headers.get("sec-websocket-key", "")
        if request.headers.get("upgrade", "").lower() != "websocket" or not key:
            await self.reply(connection, request, Answer(426, "this is a WebSocket\n", ("Upgrade: websocket",)))
            return
        accept = base64.b64encode(hashlib.sha1(key.encode() + WEBSOCKET_GUID, usedforsecurity=False).digest()).decode()
        lines = ["Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Accept: {accept}"]
        await connection.send(self.head(101, lines, "Switching Protocols"))
        self.count()
        connection.websocket, connection.busy = True, True
        await connection.send(frame(TEXT, self.settings.version.encode()))
        if self.stopping.is_set():
            self.say_goodbye(connection)
        try:
            await self.echo(connection)
        except BadFrame as error:
            await connection.send(frame(CLOSE, error.code.to_bytes(2, "big") + str(error).encode()))

    async def echo(self, connection: Connection) -> None:
        """Sends each message back until one side closes."""
        message, kind = b"", TEXT
        while True:
            final, opcode, payload = await read_frame(connection.reader)
            if opcode == CLOSE:
                if not connection.closing:
                    connection.closing = True
                    await connection.send(frame(CLOSE, payload[:2]))
                return
            if connection.closing:
                continue  # after our close frame nothing else may be sent (RFC 6455 section 5.5.1)
            if opcode == PING:
                await connection.send(frame(PONG, payload))
            elif opcode in (TEXT, BINARY, CONTINUATION):
                if opcode != CONTINUATION:
                    message, kind = b"", opcode
                message += payload
                if len(message) > MAX_BODY:
                    raise BadFrame(TOO_BIG, "message too big")
                if final:
                    await connection.send(frame(kind, message))


class BadFrame(Exception):
    """The client broke RFC 6455; ``code`` is the close code it gets."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code = code


def frame(opcode: int, payload: bytes) -> bytes:
    """One whole, unmasked frame, as a server sends it."""
    size = len(payload)
    if size < 126:
        return bytes((0x80 | opcode, size)) + payload
    if size < 1 << 16:
        return bytes((0x80 | opcode, 126)) + size.to_bytes(2, "big") + payload
    return bytes((0x80 | opcode, 127)) + size.to_bytes(8, "big") + payload


async def read_frame(reader: asyncio.StreamReader) -> tuple[bool, int, bytes]:
    first, second = await reader.readexactly(2)
    size = second & 0x7F
    if size > 125:
        size = int.from_bytes(await reader.readexactly(2 if size == 126 else 8), "big")
    if not second & 0x80:
        raise BadFrame(PROTOCOL_ERROR, "clients mask their frames")
    if size > MAX_BODY:
        raise BadFrame(TOO_BIG, "frame too big")
    mask = await reader.readexactly(4)
    payload = await reader.readexactly(size)
    return bool(first & 0x80), first & 0x0F, bytes(byte ^ mask[i & 3] for i, byte in enumerate(payload))


def parse_head(head: bytes) -> Request:
    first, *lines = head.decode("latin-1").split("\r\n")[:-2]
    parts = first.split(" ")
    if len(parts) != 3 or not parts[2].startswith("HTTP/1."):
        raise BadRequest(400, "this is not an HTTP/1.1 request")
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    url = urlsplit(parts[1])
    words = headers.get("connection", "").lower()
    keep = "close" not in words and (parts[2] == "HTTP/1.1" or "keep-alive" in words)
    return Request(method=parts[0], path=url.path, query=parse_qs(url.query), headers=headers, keep=keep)


async def read_chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while True:
        line = (await reader.readuntil(b"\r\n")).split(b";")[0].strip()
        try:
            size = int(line, 16)
        except ValueError:
            raise BadRequest(400, "a chunk's size is not a number") from None
        if len(body) + size > MAX_BODY:
            raise BadRequest(413, f"bodies end at {MAX_BODY} bytes here")
        if size == 0:
            while (await reader.readuntil(b"\r\n")) != b"\r\n":
                pass  # trailers
            return body
        body += (await reader.readexactly(size + 2))[:-2]


def find_order_id(request: Request) -> str:
    if header := request.headers.get("x-request-id"):
        return header
    try:
        return str(json.loads(request.body)["id"])
    except (ValueError, KeyError, TypeError):
        return ""


def append(path: str, line: bytes) -> None:
    """One write with O_APPEND: containers that share the file do not tear each other's lines."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    try:
        os.write(file, line)
    finally:
        os.close(file)


def leave(signum: int, _: object) -> None:
    """At once, as PID 1 must ask for itself: the kernel ignores signals it has no handler for there."""
    os._exit(128 + signum)


def main() -> None:
    signal.signal(signal.SIGTERM, leave)
    settings = Settings.read(dict(os.environ))
    if settings.exit_at_once:
        log(f"{settings.version} exits at once, as EXIT_AT_ONCE asks")
        sys.exit(1)
    try:
        asyncio.run(App(settings).run())
    except OSError as error:
        log(f"{settings.version} cannot listen on {settings.bind}:{settings.port}: {error}")
        sys.exit(1)


if __name__ == "__main__":
    main()
