"""The load client against servers that are bad on purpose, on real loopback sockets."""

from __future__ import annotations

import asyncio
import gc
import json
import signal
import socket
import ssl
import struct
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import fields, replace

import pytest
from certificates import self_signed
from demo_app import demo_app

from kamalnb.errors import LabError
from kamalnb.lab.load import Kind, Load, Outcome, Profile, Record, RunningLoad, Tally, ask_orders, running_load
from kamalnb.lab.load.__main__ import main
from kamalnb.lab.load.book import Book, Latency
from kamalnb.lab.load.websocket import CLOSE, TEXT

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
NOTHING = Profile(new=0, keepalive=0, post=0, slow=0, websockets=0, timeout=2, echo_every=0.02, slow_seconds=0.2)
OK = b"HTTP/1.1 200 OK\r\nX-Version: v1\r\nContent-Length: 2\r\n\r\nok"


def only(**kinds: float) -> Profile:
    return replace(NOTHING, **kinds)


@asynccontextmanager
async def served(handler: Handler) -> AsyncIterator[str]:
    """A server whose ``handler`` gets each connection."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                await handler(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await asyncio.sleep(0.01)


Condition = Callable[[Tally], bool]


def requests(number: int) -> Condition:
    return lambda tally: tally.requests >= number


async def until(condition: Condition, load: Load) -> None:
    """Returns as soon as the tally fulfils ``condition``; what follows in the test says so if it never does."""
    deadline = time.monotonic() + 20
    while not condition(load.snapshot()) and time.monotonic() < deadline:
        await asyncio.sleep(0.005)


TWO_REQUESTS = requests(2)


async def load_of(handler: Handler, profile: Profile, condition: Condition = TWO_REQUESTS, **options: object) -> Tally:
    async with served(handler) as url:
        async with Load({"web-1": url}, profile, **options) as load:
            await until(condition, load)
            return await load.stop()


def after_request(*parts: bytes, reset: bool = False) -> Handler:
    """Reads one request, sends ``parts``, closes or resets."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"".join(parts))
        if reset:
            linger = struct.pack("ii", 1, 0)  # on, 0 seconds: close() sends RST
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    return handler


def answering(*answers: bytes) -> Handler:
    """Gives these answers in turn over all connections, the last one for ever."""
    left = list(answers)

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(left.pop(0) if len(left) > 1 else left[0])

    return handler


async def hanging(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(-1)


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that refuses: bound all the while, so that nobody else gets it, and never listening."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def ok(version: str) -> bytes:
    return OK.replace(b"v1", version.encode())


# -- how a request is lost ------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("handler", "outcome", "reason"),
    [
        (after_request(reset=True), Outcome.RESET, "reset after the request was sent"),
        (after_request(), Outcome.CLOSED, "closed before the answer"),
        (after_request(b"HTTP/1.1 200 OK\r\nContent-"), Outcome.CLOSED, "closed in the middle of the answer"),
        (after_request(OK[:-1]), Outcome.CLOSED, "closed in the middle of the answer"),
        (after_request(OK[:-2]), Outcome.CLOSED, "closed in the middle of the answer"),
        (
            after_request(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n"),
            Outcome.CLOSED,
            "closed in the middle of the answer",
        ),
        (answering(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"), Outcome.BAD_STATUS, "HTTP 500"),
        (answering(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"), Outcome.BAD_STATUS, "HTTP 404"),
        (answering(b"SSH-2.0-OpenSSH\r\n\r\n"), Outcome.MALFORMED, "malformed answer: the status line is"),
        (answering(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"), Outcome.MALFORMED, "Content-Length is 'x'"),
        (answering(b"HTTP/1.1 200 OK\r\nwhat\r\n\r\n"), Outcome.MALFORMED, "a header line is 'what'"),
    ],
)
@pytest.mark.parametrize("kind", [Kind.NEW, Kind.POST])
def test_each_way_of_losing_a_request_is_told_apart(handler, outcome, reason, kind):
    tally = asyncio.run(load_of(handler, only(**{kind: 200})))
    assert tally.lost == tally.requests > 0
    assert {loss.outcome for loss in tally.losses} == {outcome}
    assert all(reason in loss.reason and loss.kind is kind and loss.host == "web-1" for loss in tally.losses)
    assert not tally.clean


def test_a_refused_connection_is_lost(closed_port):
    async def refused() -> Tally:
        async with Load({"web-1": f"http://127.0.0.1:{closed_port}"}, only(new=100)) as load:
            await until(requests(2), load)
            return await load.stop()

    tally = asyncio.run(refused())
    assert tally.lost == tally.requests > 0
    assert {loss.reason for loss in tally.losses} == {"connection refused"}


def test_no_answer_in_time_is_lost_and_stop_waits_for_it():
    tally = asyncio.run(load_of(hanging, only(new=50, timeout=0.2), lambda tally: tally.in_flight > 1))
    assert tally.lost == tally.requests > 0
    assert tally.in_flight == 0
    assert {loss.reason for loss in tally.losses} == {"no answer within 0.2 s"}


def test_an_outage_does_not_slow_the_count_of_new_connections():
    most = 0

    def fifteen_wait(tally: Tally) -> bool:
        nonlocal most
        most = max(most, tally.in_flight)
        return most >= 15

    asyncio.run(load_of(hanging, only(new=100, timeout=2), fifteen_wait))
    assert most >= 15  # sent while the first one still waited


def test_what_cannot_be_sent_for_too_many_waiting_is_counted():
    tally = asyncio.run(load_of(hanging, only(new=2000, timeout=0.6), lambda tally: tally.skipped > 0))
    assert tally.skipped > 0
    assert "not sent (too many waiting)" in tally.sentence
    assert not tally.clean


def test_a_100_continue_is_not_the_answer():
    tally = asyncio.run(load_of(answering(b"HTTP/1.1 100 Continue\r\n\r\n" + OK), only(new=100), requests(3)))
    assert tally.clean, tally.losses


def test_an_answer_that_ends_with_its_connection_is_whole():
    tally = asyncio.run(load_of(after_request(b"HTTP/1.1 200 OK\r\n\r\nall of it"), only(keepalive=100)))
    assert tally.clean, tally.losses


def test_a_fault_of_our_own_is_raised_and_not_counted_as_a_loss():
    with pytest.raises(UnicodeEncodeError):
        asyncio.run(load_of(answering(OK), only(keepalive=100), host_header="→"))


def test_a_load_that_died_shows_no_partial_count():
    async def snapshot_of_a_dead_one() -> None:
        async with served(answering(OK)) as url:
            load = Load({"web-1": url}, only(keepalive=100), host_header="→")
            with suppress(UnicodeEncodeError):
                async with load:
                    await until(requests(1), load)
            load.snapshot()

    with pytest.raises(UnicodeEncodeError):
        asyncio.run(snapshot_of_a_dead_one())


def test_a_thread_that_died_is_told_at_stop():
    with demo_app() as app:
        load = RunningLoad(Load({"web-1": app.url}, only(keepalive=100), host_header="→"))
        load.start()
        while load.running:
            time.sleep(0.005)
    with pytest.raises(UnicodeEncodeError):
        load.stop()


# -- kept connections -----------------------------------------------------------------------------------------------
def test_a_kept_connection_closed_between_requests_is_reopened_without_loss():
    async def answered_and_closed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        writer.write_eof()  # at once: a request that crosses it on the way would rightly be lost

    tally = asyncio.run(load_of(answered_and_closed, only(keepalive=20, connections=1), requests(5)))
    assert tally.lost == 0
    assert tally.requests > 3
    assert tally.reopened >= tally.requests - 2


def test_a_kept_connection_whose_server_says_close_is_reopened_without_loss():
    closing = OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    tally = asyncio.run(load_of(after_request(closing), only(keepalive=100, connections=1), requests(4)))
    assert tally.lost == 0
    assert tally.requests > 3


def test_a_request_dropped_on_a_kept_connection_is_lost_and_never_sent_again():
    arrived = 0

    async def second_dropped(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal arrived
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        await reader.readuntil(b"\r\n\r\n")
        arrived += 2

    tally = asyncio.run(load_of(second_dropped, only(keepalive=200, connections=1), lambda tally: tally.lost > 1))
    assert tally.lost >= 2
    assert {loss.reason for loss in tally.losses} == {"closed before the answer (request 2 on a kept connection)"}
    assert tally.requests - arrived in (0, 1)


def test_requests_of_a_kept_connection_share_it_and_new_ones_never_do():
    async def connections() -> tuple[Record, ...]:
        async with served(answering(OK)) as url:
            async with Load({"web-1": url}, only(new=100, keepalive=100, connections=1)) as load:
                await until(lambda tally: len(tally.rows) == 2 and all(row.requests > 2 for row in tally.rows), load)
            return load.records()

    records = asyncio.run(connections())
    used = {kind: [record.connection for record in records if record.kind is kind] for kind in Kind}
    assert len(set(used[Kind.KEEPALIVE])) == 1 < len(used[Kind.KEEPALIVE])
    assert len(set(used[Kind.NEW])) == len(used[Kind.NEW]) > 1


# -- orders ---------------------------------------------------------------------------------------------------------
def taking_orders(count: Callable[[str], int]) -> tuple[Handler, Counter[str]]:
    """A server that counts each order as often as ``count`` says."""
    counted: Counter[str] = Counter()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            order = json.loads(await reader.readexactly(length))["id"]
            counted[order] += count(order)
            writer.write(OK)

    return handler, counted


async def compare(handler: Handler, counted: Counter[str]) -> Tally:
    async with served(handler) as url:
        async with Load({"web-1": url}, only(post=100)) as load:
            await until(requests(8), load)
        return load.compare_orders(counted)


def test_orders_that_arrive_once_are_neither_doubled_nor_missing():
    tally = asyncio.run(compare(*taking_orders(lambda order: 1)))
    assert tally.clean
    assert tally.orders.sent == tally.orders.answered > 5
    assert tally.sentence.endswith(f"{tally.orders.sent} orders, doubled 0, missing 0")


def test_a_doubled_order_is_found():
    tally = asyncio.run(compare(*taking_orders(lambda order: 2 if order.endswith("-3") else 1)))
    assert tally.orders.doubled_count == 1
    assert tally.orders.doubled[0].endswith("-web-1-3")
    assert tally.orders.missing_count == 0
    assert not tally.clean


def test_a_dropped_order_is_found():
    tally = asyncio.run(compare(*taking_orders(lambda order: not order.endswith("-2"))))
    assert tally.orders.missing_count == 1
    assert tally.orders.missing[0].endswith("-web-1-2")
    assert tally.orders.doubled_count == 0
    assert not tally.clean


def test_a_process_that_saw_an_order_twice_says_so_itself():
    twice = b'HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{"seen": 2}'

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"}")
        writer.write(twice)

    tally = asyncio.run(load_of(handler, only(post=100)))
    assert tally.orders.doubled_count == tally.requests > 0
    assert not tally.orders.compared


def test_an_order_that_was_counted_though_its_answer_was_lost_is_told():
    async def unanswered() -> Tally:
        counted: Counter[str] = Counter()

        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            body = (await reader.readuntil(b"}")).partition(b"\r\n\r\n")[2]
            counted[json.loads(body)["id"]] += 1

        return await compare(handler, counted)

    tally = asyncio.run(unanswered())
    assert tally.orders.unanswered == tally.lost > 0
    assert tally.orders.missing_count == 0


# -- WebSockets -----------------------------------------------------------------------------------------------------
def shake(head: bytes) -> bytes:
    import base64
    import hashlib

    key = head.lower().split(b"sec-websocket-key: ")
    start = len(key[0]) + len(b"sec-websocket-key: ")
    value = head[start:].split(b"\r\n")[0]
    digest = hashlib.sha1(value + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11", usedforsecurity=False).digest()
    lines = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    return lines + b"X-Version: v1\r\nSec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n"


def websocket_that(ends: bytes, echoes: int) -> Handler:
    """Echoes so many texts, swallows the next, sends ``ends`` and closes."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(shake(await reader.readuntil(b"\r\n\r\n")))
        for _ in range(echoes):
            text = await receive(reader)
            writer.write(bytes((0x80 | TEXT, len(text))) + text)
        await receive(reader)
        writer.write(ends)
        writer.write_eof()
        await reader.read(-1)  # to close with a text unread would be a reset

    return handler


async def receive(reader: asyncio.StreamReader) -> bytes:
    first, second = await reader.readexactly(2)
    if first & 0x0F == CLOSE:
        raise ConnectionError
    mask = await reader.readexactly(4)
    return bytes(byte ^ mask[i & 3] for i, byte in enumerate(await reader.readexactly(second & 0x7F)))


def test_a_websocket_that_breaks_off_without_a_close_frame_is_lost():
    tally = asyncio.run(load_of(websocket_that(b"", echoes=1), only(websockets=1), lambda tally: tally.lost > 1))
    assert tally.lost >= 2
    assert tally.lost == tally.lost_by_kind[Kind.WEBSOCKET]
    assert {loss.reason for loss in tally.losses} == {"WebSocket closed without a close frame"}
    assert tally.websockets_opened >= tally.lost
    assert tally.websockets_closed == 0


def test_a_websocket_closed_with_a_frame_is_no_loss_but_its_open_echo_is_told():
    tally = asyncio.run(
        load_of(
            websocket_that(b"\x88\x02\x03\xe9", echoes=2), only(websockets=1), lambda tally: tally.websockets_closed > 1
        )
    )
    assert tally.lost == 0
    assert tally.websockets_closed >= 2
    assert tally.websockets_opened - tally.websockets_closed in (0, 1)
    assert tally.echoes >= 2 * tally.websockets_closed
    assert tally.echoes_unanswered >= tally.websockets_closed
    assert "WebSocket echoes under way at a close" in tally.sentence


@pytest.mark.parametrize(
    ("handler", "reason"),
    [
        (answering(OK), "no WebSocket: HTTP 200"),
        (answering(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"), "HTTP 502"),
        (answering(b"HTTP/1.1 101 Ok\r\nSec-WebSocket-Accept: me\r\n\r\n"), "no WebSocket: wrong Sec-WebSocket-Accept"),
        (after_request(), "closed before the answer"),
    ],
)
def test_a_failed_websocket_handshake_is_lost(handler, reason):
    tally = asyncio.run(load_of(handler, only(websockets=1)))
    assert tally.lost == tally.requests > 0
    assert tally.websockets_opened == 0
    assert {loss.reason for loss in tally.losses} == {reason}


def test_an_echo_that_never_comes_is_lost():
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(shake(await reader.readuntil(b"\r\n\r\n")))
        with suppress(TimeoutError):
            await asyncio.wait_for(reader.read(-1), 0.15)

    tally = asyncio.run(load_of(silent, only(websockets=1, timeout=0.1), lambda tally: tally.lost > 0))
    assert tally.losses[0].reason == "no WebSocket echo within 0.1 s"


# -- versions -------------------------------------------------------------------------------------------------------
def book_of(*answers: tuple[str, float, float], order: tuple[str, ...] = (), stage: float | None = None) -> Tally:
    """A tally of answers given as (version, start, end), put in as they end."""
    book = Book(["web-1"], order)
    book.began = 0.001
    if stage is not None:
        book.stage(stage, ())
    for version, start, end in sorted(answers, key=lambda answer: answer[2]):
        book.add(Record("web-1", Kind.NEW, start, end, 200, version, 1, Outcome.OK))
    return book.tally(100.0)


def test_going_back_to_an_older_version_is_mixed():
    tally = book_of(("v1", 1, 2), ("v2", 3, 4), ("v1", 5, 6), ("v2", 7, 8), ("v1", 7.5, 9))
    assert tally.mixed == 2
    assert tally.mixed_seconds == 3.5  # from the end of v2's first answer to the start of v1's last
    assert tally.by_host[0].overlap_seconds == 4.5
    assert "2 answered by an older version after a newer one (3.50 s)" in tally.sentence


def test_a_clean_switch_is_not_mixed():
    tally = book_of(("v1", 1, 2), ("v1", 2, 3), ("v2", 3, 4), ("v2", 4, 5))
    assert (tally.mixed, tally.mixed_seconds, tally.by_host[0].overlap_seconds) == (0, 0.0, 0.0)
    assert tally.versions == ("v1", "v2")


def test_an_old_answer_to_a_request_that_started_before_the_switch_is_not_mixed():
    tally = book_of(("v1", 1, 2), ("v1", 2.5, 9), ("v2", 3, 4), ("v1", 3.5, 5))
    assert tally.mixed == 0  # the last one started while the first v2 answer was on its way
    assert tally.by_host[0].overlap_seconds == 0.5


def test_without_an_order_the_first_seen_version_is_the_older_one():
    assert book_of(("v2", 1, 2), ("v1", 3, 4)).mixed == 0


def test_with_an_order_v2_then_v1_goes_back():
    tally = book_of(("v2", 1, 2), ("v1", 3, 4), order=("v1", "v2"))
    assert tally.mixed == 1
    assert tally.by_host[0].versions == ("v2", "v1")


def test_a_version_the_order_does_not_name_is_newer_than_those_it_names():
    assert book_of(("v1", 1, 2), ("v3", 3, 4), ("v2", 5, 6), order=("v1", "v2")).mixed == 1


def test_a_stage_allows_the_way_back_and_still_finds_mixing_in_it():
    back = (("v1", 1, 2), ("v2", 3, 4), ("v2", 5, 6), ("v1", 7, 8))
    assert book_of(*back).mixed == 1
    assert book_of(*back, stage=4.5).mixed == 0
    assert book_of(*back, ("v2", 9, 10), stage=4.5).mixed == 1


def test_hosts_are_judged_each_by_itself():
    book = Book(["web-1", "web-2"])
    book.began = 0.001
    for host, version, start in (("web-1", "v1", 1), ("web-1", "v2", 2), ("web-2", "v1", 3), ("web-2", "v2", 4)):
        book.add(Record(host, Kind.NEW, start, start + 0.5, 200, version, 1, Outcome.OK))
    assert book.tally(9.0).mixed == 0


@pytest.mark.parametrize("order", [(), ("v1", "v2")])
def test_a_server_that_serves_v1_then_v2_then_v1_is_caught(order):
    tally = asyncio.run(
        load_of(answering(ok("v1"), ok("v2"), ok("v1")), only(keepalive=100, connections=1), requests(5), order=order)
    )
    assert tally.lost == 0
    assert tally.versions == ("v1", "v2")
    assert tally.mixed == tally.requests - 2
    assert tally.mixed_seconds > 0
    assert not tally.clean


def test_a_server_that_mixes_versions_for_a_while_is_caught():
    mixing = [ok("v1"), *[ok("v2"), ok("v1")] * 3, ok("v2")]
    tally = asyncio.run(load_of(answering(*mixing), only(keepalive=200, connections=1), requests(9)))
    assert tally.mixed == 3
    assert dict(tally.by_host[0].answers)["v1"] == 4


# -- the tally ------------------------------------------------------------------------------------------------------
def test_the_sentence_of_a_good_load():
    tally = replace(book_of(("v1", 1, 2), ("v2", 3, 4)), requests=12345)
    assert tally.sentence == "12,345 requests, lost 0, versions v1 → v2"


def test_nothing_asked_is_not_clean():
    assert not Book(["web-1"]).tally(5.0).clean


def test_percentiles_are_right_to_one_percent():
    latency = Latency()
    for milliseconds in range(1, 1001):
        latency.add(milliseconds / 1000)
    assert latency.percentile(0.5) == pytest.approx(0.5, rel=0.011)
    assert latency.percentile(0.99) == pytest.approx(0.99, rel=0.011)
    assert latency.longest == 1.0


def test_twenty_losses_are_named_and_all_are_counted():
    book = Book(["web-1"])
    for number in range(30):
        book.add(Record("web-1", Kind.NEW, number, number + 1, 502, None, 1, Outcome.BAD_STATUS, "HTTP 502"))
    tally = book.tally(40.0)
    assert (len(tally.losses), tally.lost) == (20, 30)
    assert str(tally.losses[3]) == "3.000 s  web-1  new: HTTP 502"


# -- targets and bounds ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "url",
    [
        "http://8.8.8.8",
        "http://0.0.0.0:80",
        "http://example.com",
        "http://127.0.0.1.example.com",
        "http://127.0.0.1@example.com/",
        "http://10.0.0.7:80",
        "ftp://127.0.0.1",
        "127.0.0.1:80",
        "http://127.0.0.1:99999",
        "http://",
    ],
)
def test_only_this_machine_is_asked(url):
    with pytest.raises(LabError, match=r"\. (Use|Give) "):
        Load({"web-1": url})


@pytest.mark.parametrize("url", ["http://127.0.0.11", "http://localhost:8080", "http://[::1]:80/app"])
def test_loopback_in_every_spelling_is_allowed(url):
    assert Load({"web-1": url}).targets[0].port in (80, 8080)


def test_a_lab_address_is_allowed_when_named():
    assert Load({"web-1": "http://172.30.0.2"}, lab_addresses=["172.30.0.2"]).targets[0].address == "172.30.0.2"


@pytest.mark.parametrize("bad", [{"new": -1}, {"new": 5000}, {"timeout": 0}, {"slow_seconds": 10}, {"max_seconds": 0}])
def test_a_profile_out_of_bounds_is_refused(bad):
    with pytest.raises(LabError):
        Profile(**bad)


def test_the_default_profile_is_about_150_requests_a_second():
    profile = Profile()
    assert 140 <= profile.new + profile.keepalive + profile.post <= 150
    assert {field.name for field in fields(profile)} > {"max_requests", "max_seconds", "timeout"}


def test_max_requests_ends_the_load_and_the_tally_says_so():
    async def bounded() -> Tally:
        async with served(answering(OK)) as url:
            load = Load({"web-1": url}, only(new=300, keepalive=300, max_requests=20))
            async with load:
                await load.finished()
            return load.snapshot()

    tally = asyncio.run(bounded())
    assert tally.requests == 20
    assert tally.sentence.endswith("ended early at max_requests")
    assert not tally.clean


def test_a_load_stopped_in_time_does_not_end_early_afterwards():
    async def stopped() -> Tally:
        async with served(answering(OK)) as url:
            load = Load({"web-1": url}, only(new=100, max_seconds=2))
            async with load:
                await until(requests(2), load)
            await asyncio.sleep(2.1)  # past max_seconds
            return load.snapshot()

    assert asyncio.run(stopped()).clean


def test_max_seconds_ends_the_load():
    with demo_app() as app, running_load({"web-1": app.url}, only(new=50, max_seconds=0.1)) as load:
        while load.running:
            time.sleep(0.005)
        assert load.stop().ended == "max_seconds"


# -- a good server --------------------------------------------------------------------------------------------------
@pytest.mark.slow
def test_a_good_server_loses_nothing_with_every_kind(tmp_path):
    log = tmp_path / "orders"
    profile = Profile(new=60, keepalive=60, post=60, slow_seconds=0.3, echo_every=0.02, timeout=5)
    with demo_app(ORDERS_LOG=log) as app:
        with running_load({"web-1": app.url}, profile, host_header="shop.example") as load:
            load.mark("half")
            middle = load.snapshot()
            until = time.monotonic() + 30  # a busy machine takes its time
            # Echoes are counted when their WebSocket ends; its lane sends more often than each of the others.
            while middle.requests <= 300 and time.monotonic() < until:
                time.sleep(0.1)
                middle = load.snapshot()
            final = load.stop()
        counted = asyncio.run(ask_orders(app.url))
    compared = load.compare_orders(log.read_text().splitlines())
    assert final.lost == 0, final.losses
    assert compared.clean
    assert final.requests >= middle.requests > 300
    assert {row.kind for row in final.rows} == set(Kind)
    assert final.echoes > 10
    assert final.echoes_unanswered == 0
    assert [mark.label for mark in final.marks] == ["half"]
    assert sum(counted.values()) == compared.orders.sent > 10
    assert 0 < final.latency_p50 <= final.latency_p99 <= final.latency_max
    assert load.stop() == final
    assert len(load.records()) == final.requests


def test_ask_orders_of_something_else_is_a_lab_error(closed_port):
    with pytest.raises(LabError, match="refused"):
        asyncio.run(ask_orders(f"http://127.0.0.1:{closed_port}"))


# -- cut-overs ------------------------------------------------------------------------------------------------------
@asynccontextmanager
async def forwarder(port: int) -> AsyncIterator[tuple[str, dict[str, int]]]:
    """A TCP forwarder; new connections go to the port that its ``route`` holds. It counts the slow requests."""
    route = {"port": port, "slow": 0}

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(ConnectionError):
                while data := await reader.read(65536):
                    writer.write(data)
                    route["slow"] += data.startswith(b"GET /slow")
        finally:
            writer.close()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", route["port"])
        await asyncio.gather(pump(reader, upstream_writer), pump(upstream_reader, writer))

    async with served(handler) as url:
        yield url, route


BUSY = Profile(new=60, keepalive=60, post=40, slow=2, slow_seconds=0.4, echo_every=0.02, timeout=5)


def slow_ones_under_way(tally: Tally, route: dict[str, int]) -> int:
    """Slow requests that were passed on and have no answer yet."""
    return route["slow"] - sum(row.requests for row in tally.rows if row.kind is Kind.SLOW)


def test_a_bad_cut_over_loses_what_was_in_flight():
    many_slow = replace(BUSY, slow=8, slow_seconds=3, timeout=30)  # four are sent 2 s before the first one ends

    async def kill_the_old_one() -> Tally:
        with demo_app(VERSION="v1", GRACEFUL=0) as old, demo_app(VERSION="v2") as new:
            async with forwarder(old.port) as (url, route), Load({"web-1": url}, many_slow) as load:
                await until(lambda tally: tally.websockets_opened == 1 and slow_ones_under_way(tally, route) > 3, load)
                old.send(signal.SIGKILL)
                route["port"] = new.port
                await until(lambda tally: "v2" in tally.versions and tally.websockets_opened > 1, load)
                return await load.stop()

    tally = asyncio.run(kill_the_old_one())
    assert tally.versions == ("v1", "v2")
    assert tally.lost_by_kind[Kind.SLOW] >= 2
    assert tally.lost_by_kind[Kind.WEBSOCKET] == 1
    assert {loss.outcome for loss in tally.losses} <= {Outcome.CLOSED, Outcome.RESET}


def test_a_cut_over_before_the_new_one_listens_loses_requests(closed_port):
    async def switch_too_early() -> Tally:
        with demo_app(VERSION="v1") as old:
            async with forwarder(old.port) as (url, route), Load({"web-1": url}, BUSY) as load:
                await until(requests(10), load)
                route["port"] = closed_port
                await until(lambda tally: tally.lost > 6, load)
                return await load.stop()

    tally = asyncio.run(switch_too_early())
    assert tally.lost_by_kind[Kind.NEW] > 2
    assert tally.versions == ("v1",)


def test_a_good_cut_over_loses_nothing(tmp_path):
    log = tmp_path / "orders"

    async def switch_then_stop_gracefully() -> Tally:
        # A kept connection that closes just as its next request is sent loses it, and rightly: here none closes idle.
        v1, v2 = {"VERSION": "v1", "ORDERS_LOG": log, "IDLE_GRACE": 20}, {"VERSION": "v2", "ORDERS_LOG": log}
        with demo_app(**v1) as old, demo_app(**v2) as new:
            async with forwarder(old.port) as (url, route), Load({"web-1": url}, BUSY) as load:
                await until(lambda tally: "v1" in tally.versions and tally.websockets_opened == 1, load)
                load.mark("switch")
                route["port"] = new.port  # a TCP forwarder leaves kept connections where they are: mixed
                await until(lambda tally: tally.mixed > 0, load)
                old.send(signal.SIGTERM)
                await until(lambda tally: old.process.poll() is not None and tally.websockets_opened > 1, load)
                assert old.process.returncode == 0
                await load.stop()
                return load.compare_orders(log.read_text().splitlines())

    tally = asyncio.run(switch_then_stop_gracefully())
    assert tally.lost == 0, tally.losses
    assert tally.versions == ("v1", "v2")
    assert tally.websockets_closed == 1
    assert tally.websockets_opened == 2
    assert (tally.orders.doubled_count, tally.orders.missing_count) == (0, 0)
    assert tally.mixed > 0
    assert tally.mixed_seconds < tally.seconds


# -- from a terminal ------------------------------------------------------------------------------------------------
def test_the_command_prints_lines_and_a_tally_and_ends_with_0(capsys):
    with demo_app() as app:
        assert main([app.url, "--seconds", "0.3", "--rate", "60", "--slow", "0.2"]) == 0
    out = capsys.readouterr().out
    assert "lost 0, versions v1;" in out.splitlines()[-1]
    assert f"127.0.0.1:{app.port}  keepalive" in out


def test_the_command_names_losses_and_ends_with_1(capsys, closed_port):
    assert main([f"http://127.0.0.1:{closed_port}", "--seconds", "0.2"]) == 1
    assert "connection refused" in capsys.readouterr().out


def test_the_command_refuses_the_rest_of_the_world_with_2(capsys):
    assert main(["http://example.com"]) == 2
    assert "Use a loopback address" in capsys.readouterr().err


# -- https -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made_for", "trusted", "lost"),
    [("shop.test", True, False), ("other.test", True, True), ("shop.test", False, True)],
)
def test_over_https_only_the_certificate_of_the_host_is_believed(tmp_path, made_for, trusted, lost):
    certificate, key = self_signed(tmp_path, made_for)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    async def handler(reader, writer):
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(OK)
        writer.close()

    async def asked():
        server = await asyncio.start_server(handler, "127.0.0.1", 0, ssl=context)
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        trust = str(certificate) if trusted else None
        load = Load({"web-1": url}, only(new=20, keepalive=20), "shop.test", trust=trust)
        async with load:
            await until(requests(6), load)
        server.close()
        return load.snapshot()

    tally = asyncio.run(asked())
    assert tally.requests > 5
    assert (tally.lost > 0) is lost
    assert lost or tally.versions == ("v1",)


def test_over_https_no_connection_stays_open_though_the_other_side_says_no_goodbye(tmp_path, recwarn):
    certificate, key = self_signed(tmp_path, "shop.test")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    answered, silent = threading.Event(), threading.Event()

    def serve(listener):
        with listener, context.wrap_socket(listener.accept()[0], server_side=True) as connection:
            connection.recv(4096)
            connection.sendall(OK)
            answered.set()
            silent.wait(10)  # the client ends meanwhile, and its goodbye is not answered

    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=serve, args=(listener,))
    thread.start()
    url = f"https://127.0.0.1:{listener.getsockname()[1]}"
    with running_load({"web-1": url}, only(keepalive=1), "shop.test", trust=str(certificate)) as load:
        assert answered.wait(10)
        load.stop()
    silent.set()
    thread.join()
    gc.collect()
    assert [str(one.message) for one in recwarn if issubclass(one.category, ResourceWarning)] == []
