"""A slow line on one machine: two TUN devices, one of them in a network namespace, and a delay in between.

Packets are delayed, not connections: a TCP connection runs from end to end, with its own Nagle and delayed
ACKs. A relay that accepts TCP on one side and opens it again on the other hides both, and they are most of what
a slow line costs. (``tc netem`` would do, but not every kernel has it.)
"""

from __future__ import annotations

import collections
import contextlib
import fcntl
import os
import select
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

from ..errors import LabError

_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000
_MTU = 1500


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowLine:
    """A network namespace behind a slow line. ``address`` is its own, as seen from here."""

    namespace: str
    address: str
    delay: float
    """Seconds, each way."""

    def inside(self, *argv: str) -> tuple[str, ...]:
        """``argv`` as a command that runs in the namespace."""
        return ("ip", "netns", "exec", self.namespace, *argv)


@contextlib.contextmanager
def slow_line(delay: float = 0.020) -> Iterator[SlowLine]:
    """Makes a slow line and removes it. ``delay`` is in seconds, each way. Raises LabError."""
    if os.geteuid() != 0:
        raise LabError("a slow line needs root: it makes network devices. Run it as root.")
    # 198.18.0.0/15 is set aside for benchmarks (RFC 2544); the process id keeps two runs apart.
    number = os.getpid() % 16_000
    network = f"198.18.{number // 64}.{number % 64 * 4}"
    here, there = _neighbour(network, 1), _neighbour(network, 2)
    line = SlowLine(namespace=f"kamalnb-{os.getpid()}", address=there, delay=delay)
    near, far = f"knb{os.getpid()}n", f"knb{os.getpid()}f"
    with contextlib.ExitStack() as stack:
        _ip("netns", "add", line.namespace)
        stack.callback(_ip, "netns", "delete", line.namespace)
        stack.enter_context(_relay(near, far, delay))
        _ip("link", "set", far, "netns", line.namespace)
        _ip("address", "add", f"{here}/30", "dev", near)
        _ip("link", "set", near, "up")
        for words in (
            ("address", "add", f"{there}/30", "dev", far),
            ("link", "set", far, "up"),
            ("link", "set", "lo", "up"),
        ):
            _ip("-n", line.namespace, *words)
        yield line


def round_trip(address: str, port: int) -> float:
    """Seconds that opening a TCP connection takes: one round trip."""
    begun = time.perf_counter()
    with socket.create_connection((address, port), timeout=10):
        return time.perf_counter() - begun


@contextlib.contextmanager
def _relay(near: str, far: str, delay: float) -> Iterator[None]:
    """The process that carries the packets; the devices go when it goes."""
    argv = [sys.executable, "-m", __name__, near, far, str(delay)]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        if process.stdout is None or process.stdout.readline() != "ready\n":
            _out, complaint = process.communicate(timeout=10)
            reason = (complaint.strip().splitlines() or ["no reason given"])[-1]
            raise LabError(f"no TUN device can be made here ({reason}). It needs /dev/net/tun: `modprobe tun`.")
        yield
    finally:
        process.kill()
        process.communicate()


def _neighbour(network: str, offset: int) -> str:
    *start, last = network.split(".")
    return ".".join([*start, str(int(last) + offset)])


def _ip(*words: str) -> None:
    try:
        done = subprocess.run(("ip", *words), capture_output=True, text=True)
    except FileNotFoundError:
        raise LabError("the program `ip` is not installed. Install it: `apt-get install iproute2`.") from None
    if done.returncode != 0:
        raise LabError(f"`ip {' '.join(words)}` failed: {done.stderr.strip()}. Network namespaces need root.")


def _open_tun(name: str) -> int:
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH", name.encode(), _IFF_TUN | _IFF_NO_PI))
    return device


def carry(near: int, far: int, delay: float) -> None:
    """Carries packets between two devices, each ``delay`` seconds late, until one of them is gone."""
    other = {near: far, far: near}
    waiting: collections.deque[tuple[float, int, bytes]] = collections.deque()  # in order: the delay is the same
    while True:
        patience = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
        ready, _writable, _failed = select.select([near, far], [], [], patience)
        for device in ready:
            with contextlib.suppress(BlockingIOError):
                while True:
                    packet = os.read(device, _MTU)
                    waiting.append((time.monotonic() + delay, other[device], packet))
        while waiting and waiting[0][0] <= time.monotonic():
            _due, device, packet = waiting.popleft()
            with contextlib.suppress(OSError):  # a device that is not up yet loses packets, as a line does
                os.write(device, packet)


def _main(near: str, far: str, delay: str) -> None:
    devices = _open_tun(near), _open_tun(far)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    carry(*devices, float(delay))


if __name__ == "__main__":
    _main(*sys.argv[1:])
