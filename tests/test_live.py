"""Commands that live as long as their connection: what is sent, what comes back, and how it ends over a real SSH."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest
from ssh_server import Place, Sshd, command_line, sh, until

from kamalnb.errors import HostUnreachable
from kamalnb.live import AfterMark, Lines
from kamalnb.ssh import SshExecutor
from kamalnb.ssh.terminal import remote


class Heard:
    """What came, by stream."""

    def __init__(self) -> None:
        self.out = self.err = b""

    def __call__(self, error: bool, data: bytes) -> None:
        if error:
            self.err += data
        else:
            self.out += data


def test_streams_are_kept_apart_byte_for_byte_with_the_exit_code(ssh: SshExecutor) -> None:
    heard = Heard()
    result = ssh.stream("web", sh("printf 'a\\n\\0b'; printf 'no end' >&2; exit 7"), heard)
    assert (result.exited, heard.out, heard.err) == (7, b"a\n\0b", b"no end")


def test_output_comes_while_it_runs_and_abort_ends_it(ssh: SshExecutor, web: Sshd, tmp_path: Path) -> None:
    heard = Heard()
    over = sh(f"echo over >{tmp_path}/over")
    result = ssh.stream("web", sh("echo on; exec sleep 300"), heard, lambda: bool(heard.out), over=over)
    assert (result.exited, result.stderr, heard.out) == (None, "stopped on request", b"on\n")
    until(lambda: (tmp_path / "over").exists())
    until(lambda: len(web.everything()) == len(web.sessions()))


def test_a_limit_ends_it(ssh: SshExecutor) -> None:
    result = ssh.stream("web", sh("sleep 300"), Heard(), limit=0.5)
    assert (result.exited, result.stderr) == (None, "ended after 0.5 s, its time limit")


def test_a_lost_connection_ends_what_ran_and_gives_no_exit_code(ssh: SshExecutor, web: Sshd, tmp_path: Path) -> None:
    heard, results = Heard(), []
    script = f"echo on; trap '' HUP PIPE; while :; do date >{tmp_path}/beat; sleep 0.05; done"
    running = threading.Thread(target=lambda: results.append(ssh.stream("web", sh(script), heard)))
    running.start()
    until(lambda: heard.out)
    left = [pid for pid in web.everything() if "sshd" not in command_line(pid)]
    assert left
    for pid in web.everything():
        if "sshd" in command_line(pid):
            os.kill(pid, signal.SIGKILL)
    running.join(20)
    assert results[0].exited is None
    assert "lost" in results[0].stderr
    until(lambda: not any("date" in command_line(pid) or str(tmp_path) in command_line(pid) for pid in left))
    (tmp_path / "beat").unlink()
    began = time.monotonic()
    until(lambda: time.monotonic() - began > 0.3)
    assert not (tmp_path / "beat").exists()


def test_a_slow_listener_slows_the_host_down_and_loses_nothing(ssh: SshExecutor) -> None:
    sizes: list[int] = []

    def slow(error: bool, data: bytes) -> None:
        if len(sizes) < 3:
            threading.Event().wait(0.2)
        sizes.append(len(data))

    assert ssh.stream("web", sh("head -c 8000000 /dev/zero"), slow).exited == 0
    assert sum(sizes) == 8_000_000


def test_a_host_that_is_not_there_is_unreachable(place: Place) -> None:
    place.append("config", "Host gone\n  HostName 127.0.0.1\n  Port 1\n")
    with pytest.raises(HostUnreachable):
        place.executor().stream("gone", sh("true"), Heard())


def test_what_a_login_shell_prints_is_left_out() -> None:
    stream = AfterMark("k123")
    assert stream.feed(b"Welcome!\r\nto k1") == b""
    assert stream.feed(b"23\nk1") == b""
    assert stream.feed(b"23\nwell") == b"well"
    assert stream.feed(b"\nk123\n") == b"\nk123\n"


def test_lines_are_whole_whatever_the_pieces() -> None:
    lines = Lines()
    data = "grün\nzwei\n\nlast".encode()
    came = [line for at in range(len(data)) for line in lines.feed(data[at : at + 1])]
    assert came == ["grün", "zwei", ""]
    assert list(lines.end()) == ["last"]
    assert list(lines.end()) == []


def test_a_line_without_end_does_not_pile_up() -> None:
    lines = Lines(cap=10)
    assert [len(line) for _ in range(5) for line in lines.feed(b"x" * 8)] == [16, 16]


@pytest.mark.parametrize("line", ["docker exec abc ls", "echo 'a b' \"$HOME\"", "printf %s '!\\n'", "echo a\necho b"])
def test_a_line_for_any_login_shell_has_no_quote_that_one_of_them_reads_otherwise(line: str) -> None:
    inner = remote(line).removeprefix("exec /bin/sh -c '").removesuffix("'")
    assert not set(inner) & set("'!\\\n`")
