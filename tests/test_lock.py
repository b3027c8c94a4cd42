"""The lock session's script, run for real under each shell that a host may have."""

from __future__ import annotations

import base64
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from kamalnb.commands import lock
from kamalnb.config.model import Config, Role, TraefikSettings
from kamalnb.errors import LockHeld, Unclear

SHELLS = (("dash",), ("bash",), ("busybox", "sh"))
CONFIG = Config(
    service="app",
    image="app",
    traefik=TraefikSettings(image="traefik:v3.7"),
    roles=(Role(name="web", service="app", destination=None, hosts=("web-1",), traefik=True),),
)


class Host:
    """A login directory, and sessions in it."""

    def __init__(self, home: Path, shell: tuple[str, ...]) -> None:
        self.home = home
        self.shell = shell
        self.sessions: list[subprocess.Popen[bytes]] = []

    def hold(self, run_id: str, *, primary: bool = True, lease: float = 30.0) -> subprocess.Popen[bytes]:
        claim = lock.Claim(run_id=run_id, who="jana", when="2026-01-01T00:00:00Z", version="v2", why="boot")
        words = [str(word) for word in lock.hold(CONFIG, claim, primary=primary, lease=lease).words]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        session = subprocess.Popen([*self.shell, *words[1:]], cwd=self.home, start_new_session=True, **pipes)
        self.sessions.append(session)
        return session

    def answer(self, session: subprocess.Popen[bytes]) -> str:
        assert session.stdout is not None
        return session.stdout.readline().decode().strip()

    def refusal(self, session: subprocess.Popen[bytes]) -> tuple[int, str]:
        out, _ = session.communicate(timeout=20)
        return session.returncode, out.decode()

    @property
    def run_id(self) -> str:
        return (self.home / lock.path(CONFIG)).read_text().partition("\n")[0]


@pytest.fixture(params=SHELLS, ids=lambda shell: shell[0])
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Host]:
    host = Host(tmp_path, request.param)
    yield host
    for session in host.sessions:
        if session.poll() is None:
            os.killpg(session.pid, signal.SIGKILL)
        session.communicate()


def test_first_session_holds_the_lock_and_names_its_run(host: Host) -> None:
    assert host.answer(host.hold("run-a")) == "held"
    assert host.run_id == "run-a"


def test_second_session_is_refused_and_told_who_holds_it(host: Host) -> None:
    host.answer(host.hold("run-a"))
    code, printed = host.refusal(host.hold("run-b"))
    assert code == 75
    error = lock.refusal("web-1", printed, code)
    assert isinstance(error, LockHeld)
    assert "web-1 (jana since 2026-01-01T00:00:00Z: boot v2)" in str(error)
    assert host.run_id == "run-a"


def test_lock_is_free_as_soon_as_the_connection_ends(host: Host) -> None:
    first = host.hold("run-a")
    host.answer(first)
    assert first.stdin is not None
    first.stdin.close()
    first.stdin = None
    assert first.wait(timeout=20) == 0
    assert host.run_id == ""
    assert host.answer(host.hold("run-b")) == "held"


def test_lock_is_free_after_its_lease_without_a_heartbeat(host: Host) -> None:
    first = host.hold("run-a", lease=1)
    host.answer(first)
    assert first.wait(timeout=20) == 0
    assert host.answer(host.hold("run-b")) == "held"


def test_lock_is_free_after_its_session_was_killed(host: Host) -> None:
    first = host.hold("run-a")
    host.answer(first)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait(timeout=20)
    assert host.answer(host.hold("run-b")) == "held"
    assert host.run_id == "run-b"


def test_heartbeats_keep_the_lock_beyond_its_lease(host: Host) -> None:
    first = host.hold("run-a", lease=1)
    host.answer(first)
    assert first.stdin is not None
    for _ in range(4):
        with pytest.raises(subprocess.TimeoutExpired):
            first.wait(timeout=0.4)
        first.stdin.write(b".\n")
        first.stdin.flush()


def test_kamals_users_see_our_lock_in_its_own_place_while_it_is_held(host: Host) -> None:
    session = host.hold("run-a")
    host.answer(session)
    details = base64.b64decode((host.home / ".kamal/locks/app/details").read_text()).decode()
    assert details == "Locked by: jana at 2026-01-01T00:00:00Z\nVersion: v2\nMessage: kamalnb boot"
    assert session.stdin is not None
    session.stdin.close()
    session.stdin = None
    session.wait(timeout=20)
    assert not (host.home / ".kamal/locks/app").exists()


@pytest.mark.parametrize("place", [".kamal/locks/app", ".kamal/lock-app"])
def test_lock_of_kamal_is_honoured_and_left_as_it_is(host: Host, place: str) -> None:
    (host.home / place).mkdir(parents=True)
    text = "Locked by: kim at 2026-01-01T00:00:00Z\nVersion: v1\nMessage: Automatic deploy lock"
    (host.home / place / "details").write_text(base64.b64encode(text.encode()).decode())
    code, printed = host.refusal(host.hold("run-a"))
    error = lock.refusal("web-1", printed, code)
    assert isinstance(error, LockHeld)
    assert "Kamal holds the lock on web-1 (Locked by: kim at 2026-01-01T00:00:00Z;" in str(error)
    assert (host.home / place / "details").exists()


def test_our_own_directory_that_a_killed_session_left_does_not_lock_anybody_out(host: Host) -> None:
    first = host.hold("run-a")
    host.answer(first)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait(timeout=20)
    assert (host.home / ".kamal/locks/app/details").exists()
    assert host.answer(host.hold("run-b")) == "held"


def test_only_the_primary_host_bears_kamals_directory(host: Host) -> None:
    host.answer(host.hold("run-a", primary=False))
    assert not (host.home / ".kamal/locks/app").exists()


def test_an_end_that_nobody_foresaw_is_not_taken_for_a_lock() -> None:
    assert isinstance(lock.refusal("web-1", "", None), Unclear)
    assert isinstance(lock.refusal("web-1", "", 73), Unclear)
