"""The one parser of /proc/net/tcp: recorded in a container of the lab, and small ones by hand."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kamalnb.errors import Unclear
from kamalnb.shell import Question, look
from kamalnb.sockets import address_hex, listening, port_hex
from kamalnb.sockets import listening as parse

RECORDED = (Path(__file__).parent / "docker" / "sockets.txt").read_text()
HEAD = "sl local_address rem_address st\n"


def test_recorded_table_has_one_listener_on_every_address() -> None:
    (socket,) = listening(RECORDED)
    assert (socket.address, socket.port, socket.on_loopback) == ("0.0.0.0", 3000, False)


@pytest.mark.parametrize(
    ("local", "address", "loopback"),
    [
        ("0100007F:0BB8", "127.0.0.1", True),
        ("00000000:0BB8", "0.0.0.0", False),
        ("020011AC:0BB8", "172.17.0.2", False),
        ("00000000000000000000000000000000:0BB8", "::", False),
        ("00000000000000000000000001000000:0BB8", "::1", True),
        ("0000000000000000FFFF00000100007F:0BB8", "127.0.0.1", True),
        ("0000000000000000FFFF0000020011AC:0BB8", "172.17.0.2", False),
    ],
)
def test_addresses_are_read_as_the_kernel_writes_them(local: str, address: str, loopback: bool) -> None:
    (socket,) = listening(f"{HEAD}  0: {local} 00000000:0000 0A 00000000:00000000\n")
    assert (socket.address, socket.port, socket.on_loopback) == (address, 3000, loopback)


@pytest.mark.parametrize("state", ["01", "06", "08"])
def test_what_does_not_listen_is_left_out(state: str) -> None:
    assert listening(f"{HEAD}  0: 00000000:0BB8 00000000:0000 {state} 0\n") == ()


@pytest.mark.parametrize("text", ["", "no such file", "{}"])
def test_what_is_no_table_is_unclear(text: str) -> None:
    with pytest.raises(Unclear):
        listening(text)


@given(st.text())
def test_any_text_is_a_table_or_unclear(text: str) -> None:
    with contextlib.suppress(Unclear):
        Question(look("sockets", "true"), parse).read(text)


@pytest.mark.parametrize(
    ("address", "spelled"),
    [("172.17.0.2", "020011AC"), ("127.0.0.1", "0100007F"), ("::1", "00000000000000000000000001000000")],
)
def test_addresses_are_spelled_as_the_kernel_does(address: str, spelled: str) -> None:
    assert address_hex(address) == spelled


def test_ports_are_spelled_as_the_kernel_does() -> None:
    assert (port_hex(80), port_hex(3000)) == ("0050", "0BB8")
