"""How fast scripts reach a host, next to stock Fabric in the same run, on real sshds.

Loopback for one command and for bulk output; a line of 40 ms round trip for ten steps. Both engines take turns,
and the medians count. On a busy machine the ratios of times come out too high, since stock Fabric mostly sleeps (in
Nagle's algorithm) where this engine works and has to wait for a core: then it says so.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..config.model import Ssh
from ..errors import LabError
from ..script import Script
from ..shell import look
from ..ssh import SshExecutor
from .latency import round_trip, slow_line

Say = Callable[[str], None]
STEPS = 10
OUTPUT = 4 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One comparison; both numbers in seconds."""

    name: str
    stock: float
    ours: float
    target: float
    """The ratio that ours may have at most."""

    @property
    def ratio(self) -> float:
        """Ours as a part of stock's."""
        return self.ours / self.stock

    @property
    def met(self) -> bool:
        """The ratio is within the target."""
        return self.ratio <= self.target

    def __str__(self) -> str:
        verdict = "ok" if self.met else "MISSED"
        return (
            f"{self.name:<44}{self.stock * 1000:>10.1f} ms{self.ours * 1000:>10.1f} ms"
            f"{self.ratio:>8.3f}{self.target:>8.2f}  {verdict}"
        )


def run(say: Say) -> list[Row]:
    """Measures and tells a table. Takes about a minute; needs root. Raises LabError."""
    say("SSH engine against stock Fabric, the same sshd, turn by turn; medians")
    if os.getloadavg()[0] > (os.cpu_count() or 1):
        say(f"this machine is busy (load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores): ratios will be too high")
    with tempfile.TemporaryDirectory(prefix="kamalnb-bench-") as name, slow_line() as line:
        with _sshd(Path(name, "near"), "127.0.0.1") as near, _sshd(Path(name, "far"), line.address, line.inside) as far:
            trips = [round_trip(line.address, far.port) for _trip in range(5)]
            say(f"slow line: {statistics.median(trips) * 1000:.1f} ms round trip")
            say(f"{'':<44}{'stock':>13}{'kamalnb':>13}{'ratio':>8}{'target':>8}")
            rows = []
            for measure in (_one_command, _output_cpu, _ten_steps_warm, _ten_steps_cold):
                rows.append(measure(far if measure in (_ten_steps_warm, _ten_steps_cold) else near))
                say(str(rows[-1]))
    return rows


@dataclass(frozen=True, slots=True, kw_only=True)
class _Server:
    directory: Path
    address: str
    port: int

    @property
    def answer(self) -> str:
        """A program on it that prints ten lines, as ``docker ps`` would."""
        return str(self.directory / "answer")

    @property
    def bulk(self) -> str:
        return str(self.directory / "bulk")

    def stock(self) -> Any:
        """A connection of stock Fabric, not open yet."""
        import fabric
        import paramiko

        config = fabric.Config(ssh_config=paramiko.SSHConfig(), lazy=True)
        options = {"key_filename": str(self.directory / "key"), "allow_agent": False, "look_for_keys": False}
        return fabric.Connection(self.address, user=_me(), port=self.port, config=config, connect_kwargs=options)

    def ours(self) -> SshExecutor:
        return SshExecutor(Ssh(config=("config",)), directory=self.directory)


def _one_command(server: _Server) -> Row:
    stock, ours = server.stock(), server.ours()
    script = Script.of(look("answer", server.answer))

    def by_stock() -> None:
        _require(len(stock.run(server.answer, hide=True).stdout) > 700)

    def by_ours() -> None:
        _require(len(ours.run("host", script, _nothing, _nothing)[0].stdout) > 700)

    with _closing(stock, ours):
        times = _take_turns(by_stock, by_ours, 41)
    return Row(name="one command, warm, loopback", stock=times[0], ours=times[1], target=0.2)


def _output_cpu(server: _Server) -> Row:
    stock, ours = server.stock(), server.ours()
    script = Script.of(look("bulk", "cat", server.bulk))

    def by_stock() -> None:
        _require(len(stock.run(f"cat {server.bulk}", hide=True).stdout) == OUTPUT)

    def by_ours() -> None:
        _require(len(ours.run("host", script, _nothing, _nothing)[0].stdout) == OUTPUT)

    with _closing(stock, ours):
        times = _take_turns(by_stock, by_ours, 3, clock=time.process_time)
    return Row(name="4 MB of output, processor time, loopback", stock=times[0], ours=times[1], target=0.1)


def _ten_steps_warm(server: _Server) -> Row:
    stock, ours = server.stock(), server.ours()
    with _closing(stock, ours):
        times = _take_turns(lambda: _ten_by_stock(server, stock), lambda: _ten_by_ours(server, ours), 5)
    return Row(name="ten steps, warm, 40 ms round trip", stock=times[0], ours=times[1], target=0.15)


def _ten_steps_cold(server: _Server) -> Row:
    def by_stock() -> None:
        with server.stock() as stock:
            _ten_by_stock(server, stock)

    def by_ours() -> None:
        ours = server.ours()
        try:
            _ten_by_ours(server, ours)
        finally:
            ours.close()

    times = _take_turns(by_stock, by_ours, 5)
    return Row(name="ten steps, cold, 40 ms round trip", stock=times[0], ours=times[1], target=0.3)


def _ten_by_stock(server: _Server, stock: Any) -> None:
    for _step in range(STEPS):
        _require(stock.run(server.answer, hide=True).ok)


def _ten_by_ours(server: _Server, ours: SshExecutor) -> None:
    script = Script.of(*(look(f"step {number}", server.answer) for number in range(STEPS)))
    _require([result.exited for result in ours.run("host", script, _nothing, _nothing)] == [0] * STEPS)


def _take_turns(
    stock: Callable[[], None], ours: Callable[[], None], rounds: int, clock: Callable[[], float] = time.perf_counter
) -> tuple[float, float]:
    """Medians over the rounds, after one round that is not counted: it opens the connections."""
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds + 1):
        for measured, engine in zip(times, (stock, ours), strict=True):
            begun = clock()
            engine()
            if number:
                measured.append(clock() - begun)
    return statistics.median(times[0]), statistics.median(times[1])


@contextlib.contextmanager
def _closing(stock: Any, ours: SshExecutor) -> Iterator[None]:
    try:
        yield
    finally:
        ours.close()
        stock.close()


@contextlib.contextmanager
def _sshd(
    directory: Path, address: str, inside: Callable[..., tuple[str, ...]] = lambda *argv: argv
) -> Iterator[_Server]:
    """A real sshd with fresh keys; stopped at the end, with everything it started."""
    program = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/usr/bin")
    if program is None:
        raise LabError("sshd is not installed. Install it: `apt-get install openssh-server`.")
    server = _Server(directory=directory, address=address, port=_free_port())
    _furnish(server)
    argv = inside(program, "-D", "-e", "-f", str(directory / "sshd"))
    with (directory / "log").open("w") as log:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=log)
    try:
        _await(directory / "log", process)
        yield server
    finally:
        process.terminate()
        process.wait()


def _furnish(server: _Server) -> None:
    """Keys, configuration on both sides, and the programs to run."""
    directory = server.directory
    (directory / "home").mkdir(parents=True)
    Path("/run/sshd").mkdir(exist_ok=True)
    for name in ("key", "host_key"):
        argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(directory / name)]
        subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)
    line = " ".join(f"{'column':<12}" for _column in range(6))
    Path(server.answer).write_text("#!/bin/sh\ncat <<'END'\n" + f"{line}\n" * 10 + "END\n")
    Path(server.answer).chmod(0o755)
    Path(server.bulk).write_text((f"{line}\n" * (OUTPUT // len(line)))[:OUTPUT])
    host_key = (directory / "host_key.pub").read_text()
    (directory / "known_hosts").write_text(f"[{server.address}]:{server.port} {host_key}")
    (directory / "config").write_text(
        f"Host host\n  HostName {server.address}\n  Port {server.port}\n  User {_me()}\n  IdentityAgent none\n"
        f"  IdentityFile {directory}/key\n  UserKnownHostsFile {directory}/known_hosts\n"
    )
    # HOME keeps a slow ~/.bashrc out of it: bash reads that one for every command that sshd starts.
    (directory / "sshd").write_text(
        f"ListenAddress {server.address}:{server.port}\nHostKey {directory}/host_key\n"
        f"AuthorizedKeysFile {directory}/key.pub\nSetEnv HOME={directory}/home\n"
        "StrictModes no\nPidFile none\nUsePAM no\nUseDNS no\n"
    )


def _await(log: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 10
    while "Server listening" not in log.read_text():
        if process.poll() is not None or time.monotonic() > deadline:
            raise LabError(f"sshd does not start: {log.read_text().strip()[-300:]}")
        time.sleep(0.02)


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def _require(as_expected: bool) -> None:
    if not as_expected:
        raise LabError("a measured command did not answer as it should. Run the benchmark again.")


def _me() -> str:
    return pwd.getpwuid(os.getuid()).pw_name


def _nothing(number: int, what: object) -> None:
    """Nobody listens."""
