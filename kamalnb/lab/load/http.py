"""A small HTTP/1.1 client on asyncio streams that can tell how exactly a request was lost.

It never sends a request twice. Every failure is a ``Lost`` with its ``Outcome`` and a reason in words.
"""

from __future__ import annotations

import asyncio
import ipaddress
import itertools
import ssl
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from ...errors import LabError
from .values import Outcome

MAX_BODY = 16_000_000
numbers = itertools.count(1)  # connection ids: unique in this process, in order of opening


class Lost(Exception):
    """This request got no good answer."""

    def __init__(self, outcome: Outcome, reason: str, status: int | None = None, version: str | None = None) -> None:
        super().__init__(reason)
        self.outcome = outcome
        self.reason = reason
        self.status = status
        self.version = version


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where requests for one host go."""

    name: str
    address: str
    port: int
    prefix: str
    host_header: str
    tls: ssl.SSLContext | None = None

    @classmethod
    def of(
        cls, name: str, url: str, *, host_header: str | None, lab_addresses: Collection[str], trust: str | None = None
    ) -> Target:
        """Reads ``url``. ``LabError`` for anything but HTTP(S) to loopback or to one of ``lab_addresses``.

        ``trust`` is a file with the certificates to believe over HTTPS; each answer must come from one for the host.
        """
        try:
            parts = urlsplit(url)
            port = parts.port or (443 if parts.scheme == "https" else 80)
        except ValueError as error:
            raise LabError(f"{url!r} is not a URL ({error}). Give one like http://127.0.0.11:80.") from None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise LabError(f"{url!r} is not an HTTP URL. Give one like http://127.0.0.11:80.")
        if not (is_loopback(parts.hostname) or parts.hostname in lab_addresses):
            raise LabError(
                f"{parts.hostname} is not on this machine, and the load client is no weapon. "
                "Use a loopback address, or name the lab's own addresses explicitly."
            )
        where = parts.netloc.rpartition("@")[2]
        return cls(
            name=name,
            address=parts.hostname,
            port=port,
            prefix=parts.path.rstrip("/"),
            host_header=host_header or where,
            tls=ssl.create_default_context(cafile=trust) if parts.scheme == "https" else None,
        )

    @property
    def server_name(self) -> str | None:
        """Whose certificate it must show, None over plain HTTP."""
        return self.host_header.partition(":")[0] if self.tls else None


def is_loopback(host: str) -> bool:
    """True for 127.0.0.0/8, ::1 and localhost; other names are never looked up."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A whole answer. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    keep: bool

    @property
    def version(self) -> str | None:
        return self.headers.get("x-version")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One request to send."""

    method: str = "GET"
    path: str = "/"
    headers: tuple[str, ...] = ()
    body: bytes = b""

    def encoded(self, target: Target) -> bytes:
        lines = [f"{self.method} {target.prefix}{self.path} HTTP/1.1", f"Host: {target.host_header}", *self.headers]
        if self.body or self.method == "POST":
            lines.append(f"Content-Length: {len(self.body)}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + self.body


@dataclass(eq=False, slots=True)
class Connection:
    """One TCP connection. ``asked`` counts the requests sent on it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    number: int = field(default_factory=lambda: next(numbers))
    asked: int = 0
    keep: bool = True

    @classmethod
    async def open(cls, target: Target) -> Connection:
        """Connects. ``Lost`` says how that failed."""
        try:
            reader, writer = await asyncio.open_connection(
                target.address, target.port, ssl=target.tls, server_hostname=target.server_name
            )
        except ConnectionRefusedError:
            raise Lost(Outcome.REFUSED, "connection refused") from None
        except OSError as error:
            raise broken(error, "while connecting") from None
        return cls(reader, writer)

    @property
    def usable(self) -> bool:
        """False once the server has closed it, or has said that it will: the next request needs a new one."""
        gone = self.reader.at_eof() or self.reader.exception() is not None or self.writer.is_closing()
        return self.keep and not gone

    async def ask(self, ask: Ask, target: Target) -> Answer:
        """Sends one request and reads its answer. ``Lost`` for everything else than an answer below 400."""
        self.asked += 1
        request = ask.encoded(target)
        try:
            self.writer.write(request)
            await self.writer.drain()
            answer = await self.read()
        except OSError as error:
            raise broken(error, "after the request was sent" + self.which()) from None
        except asyncio.IncompleteReadError as error:
            where = "in the middle of" if error.partial else "before"
            raise Lost(Outcome.CLOSED, f"closed {where} the answer{self.which()}") from None
        except (asyncio.LimitOverrunError, ValueError, IndexError) as error:
            raise Lost(Outcome.MALFORMED, f"malformed answer: {error}") from None
        self.keep = answer.keep and "Connection: close" not in ask.headers
        if answer.status >= 400:
            raise Lost(Outcome.BAD_STATUS, f"HTTP {answer.status}", answer.status, answer.version)
        return answer

    async def read(self) -> Answer:
        while True:
            status, version, headers = parse_head(await self.reader.readuntil(b"\r\n\r\n"))
            if status >= 200 or status == 101:
                break
        words = headers.get("connection", "").lower()
        keep = "close" not in words and (version == "HTTP/1.1" or "keep-alive" in words)
        if status in (101, 204, 304):
            return Answer(status=status, headers=headers, body=b"", keep=keep)
        try:
            body, delimited = await self.read_body(headers)
        except asyncio.IncompleteReadError as error:  # the head has come, so this is the middle, whatever came of it
            raise asyncio.IncompleteReadError(error.partial or b"?", error.expected) from None
        return Answer(status=status, headers=headers, body=body, keep=keep and delimited)

    async def read_body(self, headers: Mapping[str, str]) -> tuple[bytes, bool]:
        if "chunked" in headers.get("transfer-encoding", "").lower():
            return await self.read_chunks(), True
        if (length := headers.get("content-length")) is not None:
            if not length.isdigit() or int(length) > MAX_BODY:
                raise ValueError(f"Content-Length is {length!r}")
            return await self.reader.readexactly(int(length)), True
        return await self.reader.read(-1), False  # ends with the connection (RFC 9112 section 6.3)

    async def read_chunks(self) -> bytes:
        parts: list[bytes] = []
        while size := int((await self.reader.readuntil(b"\r\n")).split(b";")[0], 16):
            if size > MAX_BODY:
                raise ValueError(f"a chunk of {size} bytes")
            parts.append((await self.reader.readexactly(size + 2))[:-2])
        while await self.reader.readuntil(b"\r\n") != b"\r\n":
            pass  # trailers
        return b"".join(parts)

    def which(self) -> str:
        return f" (request {self.asked} on a kept connection)" if self.asked > 1 else ""

    def close(self) -> None:
        if self.writer.get_extra_info("sslcontext"):
            self.writer.transport.abort()  # close() waits for the other side's goodbye; the loop may end before it
        else:
            self.writer.close()


def broken(error: OSError, when: str) -> Lost:
    """What became of a connection that the kernel gave up."""
    if isinstance(error, ConnectionError):
        return Lost(Outcome.RESET, f"reset {when}")
    if isinstance(error, TimeoutError):
        return Lost(Outcome.TIMEOUT, f"connection timed out {when}")
    return Lost(Outcome.UNREACHABLE, f"connection broke {when}: {error.strerror or error}")


def parse_head(head: bytes) -> tuple[int, str, dict[str, str]]:
    """Status, protocol and headers. ``ValueError`` when this is not HTTP."""
    first, *lines = head.decode("latin-1").split("\r\n")[:-2]
    protocol, _, rest = first.partition(" ")
    code = rest[:3]
    if not protocol.startswith("HTTP/1.") or not code.isdigit() or rest[3:4] not in ("", " "):
        raise ValueError(f"the status line is {first[:80]!r}")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise ValueError(f"a header line is {line[:80]!r}")
        headers[name.strip().lower()] = value.strip()
    return int(code), protocol, headers
