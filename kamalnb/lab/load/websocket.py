"""The client's side of RFC 6455, as far as an echo needs it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
from dataclasses import dataclass, field

from .http import Answer, Ask, Connection, Lost, Target, broken
from .values import Outcome

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
MAX_FRAME = 1_000_000


async def handshake(connection: Connection, target: Target, path: str = "/ws") -> Answer:
    """Turns ``connection`` into a WebSocket. ``Lost`` unless the server agrees with the right key."""
    key = base64.b64encode(os.urandom(16))
    headers = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13")
    answer = await connection.ask(Ask(path=path, headers=(*headers, f"Sec-WebSocket-Key: {key.decode()}")), target)
    if answer.status != 101:
        raise Lost(Outcome.MALFORMED, f"no WebSocket: HTTP {answer.status}", answer.status, answer.version)
    wanted = base64.b64encode(hashlib.sha1(key + GUID, usedforsecurity=False).digest()).decode()
    if answer.headers.get("sec-websocket-accept") != wanted:
        raise Lost(Outcome.MALFORMED, "no WebSocket: wrong Sec-WebSocket-Accept", 101, answer.version)
    return answer


def frame(opcode: int, payload: bytes) -> bytes:
    """A whole frame, masked as a client must. Payloads up to 65535 bytes."""
    mask = os.urandom(4)
    size = len(payload)
    length = bytes((0x80 | size,)) if size < 126 else bytes((0x80 | 126,)) + size.to_bytes(2, "big")
    return bytes((0x80 | opcode,)) + length + mask + bytes(byte ^ mask[i & 3] for i, byte in enumerate(payload))


@dataclass(eq=False, slots=True)
class EchoSocket:
    """An open WebSocket whose server sends every text back. ``waiting`` holds texts sent and not yet echoed."""

    connection: Connection
    waiting: dict[bytes, float] = field(default_factory=dict)
    echoes: int = 0
    leaving: bool = False

    def send(self, text: bytes, now: float) -> None:
        self.waiting[text] = now
        self.connection.writer.write(frame(TEXT, text))

    async def listen(self) -> None:
        """Takes echoes in and returns after the server's close frame. ``Lost`` when it goes without one."""
        message = b""
        while True:
            try:
                final, opcode, payload = await self.receive()
            except asyncio.IncompleteReadError:
                raise Lost(Outcome.CLOSED, "WebSocket closed without a close frame") from None
            except OSError as error:
                raise broken(error, "on an open WebSocket") from None
            if opcode == CLOSE:
                if not self.leaving:
                    self.connection.writer.write(frame(CLOSE, payload[:2]))
                return
            if opcode == PING:
                self.connection.writer.write(frame(PONG, payload))
            elif opcode in (TEXT, BINARY, CONTINUATION):
                message += payload
                if final:
                    self.echoes += self.waiting.pop(message, None) is not None
                    message = b""

    async def receive(self) -> tuple[bool, int, bytes]:
        reader = self.connection.reader
        first, second = await reader.readexactly(2)
        size = second & 0x7F
        if size > 125:
            size = int.from_bytes(await reader.readexactly(2 if size == 126 else 8), "big")
        if second & 0x80 or first & 0x70 or size > MAX_FRAME:
            raise Lost(Outcome.MALFORMED, "WebSocket frame makes no sense")
        return bool(first & 0x80), first & 0x0F, await reader.readexactly(size)

    def say_goodbye(self) -> None:
        self.leaving = True
        self.connection.writer.write(frame(CLOSE, (1000).to_bytes(2, "big")))
