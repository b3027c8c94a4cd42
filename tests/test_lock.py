"""The lock session's script, run for real under each shell that a host may have."""

from __future__ import annotations

import base64
import fcntl
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from kamalnb.commands import exec, lock
from kamalnb.config.model import Config, Role, TraefikSettings
from kamalnb.errors import CannotLock, LockHeld, StillAtWork, Unclear
from kamalnb.script import REFUSED, Script, Section, render
from kamalnb.shell import Command

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
        os.mkfifo(home / "gate")
        # Open at both ends: whoever writes here never waits for a reader.
        self.gate = os.open(home / "gate", os.O_RDWR)

    def open_gate(self) -> None:
        """Lets the step of ``WAITING`` go on."""
        os.write(self.gate, b"go\n")

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

    def kill(self, session: subprocess.Popen[bytes]) -> None:
        """Kills all of it, and waits until the kernel has taken the last of its processes apart."""
        os.killpg(session.pid, signal.SIGKILL)
        session.communicate()
        with open(self.home / lock.path(CONFIG)) as file:
            fcntl.flock(file, fcntl.LOCK_EX)

    def refusal(self, session: subprocess.Popen[bytes]) -> tuple[int, str]:
        out, _ = session.communicate(timeout=20)
        return session.returncode, out.decode()

    def begins(self, run_id: str, *steps: Command, journal: str | None = None) -> subprocess.Popen[bytes]:
        """A fenced script of a run, sent as it is over SSH."""
        script = Script(sections=(Section(steps=steps),), fence=(lock.path(CONFIG), run_id), journal=journal)
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        going = subprocess.Popen([*self.shell, "-s"], cwd=self.home, start_new_session=True, **pipes)
        self.sessions.append(going)
        assert going.stdin is not None
        going.stdin.write(render(script, "kmark").encode())
        going.stdin.close()
        going.stdin = None
        return going

    def runs(self, command: Command) -> subprocess.CompletedProcess[str]:
        """A command that is no session, with the shell functions that it uses."""
        text = "\n".join([*command.uses, f"({command.line()})"])
        return subprocess.run([*self.shell, "-c", text], cwd=self.home, capture_output=True, text=True, timeout=20)

    def state(self) -> lock.Lock:
        question = lock.state(CONFIG)
        return question.read(self.runs(question.command).stdout)

    @property
    def run_id(self) -> str:
        return (self.home / lock.path(CONFIG)).read_text().partition("\n")[0]


@pytest.fixture(params=SHELLS, ids=lambda shell: shell[0])
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Host]:
    host = Host(tmp_path, request.param)
    yield host
    host.open_gate()
    for session in host.sessions:
        if session.poll() is None:
            os.killpg(session.pid, signal.SIGKILL)
        session.communicate()
    os.close(host.gate)


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
    host.kill(first)
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


@pytest.mark.parametrize("place", [".kamal/locks/app", ".kamal/lock-app"])
def test_kamals_users_see_our_lock_in_its_own_place_while_it_is_held(host: Host, place: str) -> None:
    """Kamal up to 1.4 looks at the second place only."""
    session = host.hold("run-a")
    host.answer(session)
    details = base64.b64decode((host.home / place / "details").read_text()).decode()
    assert details == "Locked by: jana at 2026-01-01T00:00:00Z\nVersion: v2\nMessage: kamalnb boot"
    assert session.stdin is not None
    session.stdin.close()
    session.stdin = None
    session.wait(timeout=20)
    assert not (host.home / place).exists()


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
    host.kill(first)
    assert (host.home / ".kamal/locks/app/details").exists()
    assert host.answer(host.hold("run-b")) == "held"


def test_only_the_primary_host_bears_kamals_directory(host: Host) -> None:
    host.answer(host.hold("run-a", primary=False))
    assert not (host.home / ".kamal/locks/app").exists()
    assert not (host.home / ".kamal/lock-app").exists()


def test_an_end_that_nobody_foresaw_is_not_taken_for_a_lock() -> None:
    assert isinstance(lock.refusal("web-1", "", 7), Unclear)


def test_a_session_that_was_lost_says_what_to_do() -> None:
    told = lock.refusal("web-1", "held\n", None)
    assert str(told) == "web-1 was lost, or took too long, before it said whether it gives its lock. Run it again."


def test_a_host_without_room_for_a_lock_is_told_with_its_own_words() -> None:
    refused = lock.refusal("web-1", "mkdir: cannot create directory: No space left on device\n", 73)
    assert isinstance(refused, CannotLock)
    assert str(refused).startswith("web-1 has no room or no right to write its lock file")
    assert str(refused).endswith("(mkdir: cannot create directory: No space left on device).")


def test_a_run_that_stood_still_while_it_took_the_lock_is_told_so(host: Host) -> None:
    """Seen on the lab: its machine slept for longer than the lease, and the answer was read afterwards."""
    session = host.hold("run-a", lease=1)
    assert session.wait(timeout=20) == 0
    error = lock.refusal("web-1", host.refusal(session)[1], 0)
    assert isinstance(error, LockHeld)
    assert "web-1 took the lock back" in str(error)


@pytest.mark.parametrize("kind", ["lock", "work"])
def test_a_host_that_cannot_make_one_of_the_files_says_so(host: Host, kind: str) -> None:
    (host.home / ".kamal" / f"kamalnb-app.{kind}").mkdir(parents=True)  # as root may write anywhere
    code, printed = host.refusal(host.hold("run-a"))
    assert isinstance(lock.refusal("web-1", printed, code), CannotLock)
    assert not (host.home / ".kamal/locks/app").exists()


JANA = lock.Claim(run_id="-", who="jana", when="2026-01-01T00:00:00Z", version="", why="the database is moved")


def test_a_free_host_shows_no_holder(host: Host) -> None:
    assert host.state() == lock.Lock()


def test_looking_shows_the_run_that_holds_it_and_nobody_after_its_end(host: Host) -> None:
    session = host.hold("run-a")
    host.answer(session)
    assert host.state().run == "jana since 2026-01-01T00:00:00Z: boot v2"
    assert host.state().kamal == ""  # the directory that Kamal looks for is the run's own
    host.kill(session)
    assert host.state().run == ""


def test_looking_never_takes_the_lock(host: Host) -> None:
    script = lock.state(CONFIG).command
    assert not any("flock -" in text for text in (*script.uses, *map(str, script.words)))
    assert host.answer(host.hold("run-a")) == "held"


def test_a_person_holds_it_until_it_is_released(host: Host) -> None:
    assert host.runs(lock.acquire(CONFIG, JANA)).returncode == 0
    assert host.state().person == "jana since 2026-01-01T00:00:00Z: the database is moved"
    code, printed = host.refusal(host.hold("run-a"))
    assert (code, printed.splitlines()[0]) == (75, "person")
    assert "invoke lock.release" in str(lock.refusal("web-1", printed, code))
    assert "jana" in host.runs(lock.release(CONFIG)).stdout
    assert host.answer(host.hold("run-b")) == "held"


def test_kamal_is_refused_while_a_person_holds_it(host: Host) -> None:
    host.runs(lock.acquire(CONFIG, JANA))
    for name in ("locks/app", "lock-app"):
        details = (host.home / ".kamal" / name / "details").read_text()
        assert "Locked by: jana" in base64.b64decode(details).decode()
    host.runs(lock.release(CONFIG))
    assert not (host.home / ".kamal" / "locks" / "app").exists()
    assert not (host.home / ".kamal" / "lock-app").exists()


def test_a_person_cannot_take_what_a_run_holds_nor_release_it(host: Host) -> None:
    host.answer(host.hold("run-a"))
    assert host.runs(lock.acquire(CONFIG, JANA)).returncode == 75
    assert host.runs(lock.release(CONFIG)).stdout == ""
    assert (host.home / ".kamal" / "locks" / "app").is_dir()
    assert host.state().person == ""


def test_a_person_cannot_take_what_another_holds(host: Host) -> None:
    host.runs(lock.acquire(CONFIG, JANA))
    second = host.runs(lock.acquire(CONFIG, lock.Claim(run_id="-", who="omar", when="now", version="", why="x")))
    assert (second.returncode, "jana" in second.stdout) == (75, True)
    assert "jana" in host.state().person


def test_a_lock_that_kamal_left_is_shown_and_can_be_released(host: Host) -> None:
    directory = host.home / ".kamal" / "locks" / "app"
    directory.mkdir(parents=True)
    details = "Locked by: Omar at 2026-01-01T00:00:00Z\nVersion: abc\nMessage: Automatic deploy lock"
    (directory / "details").write_text(base64.b64encode(details.encode()).decode() + "\n")
    assert "Omar" in host.state().kamal
    assert "Omar" in host.runs(lock.release(CONFIG)).stdout
    assert host.state() == lock.Lock()


def test_a_hostile_reason_runs_nothing(host: Host) -> None:
    claim = lock.Claim(run_id="-", who="$(touch pwned)", when="`touch pwned`", version="", why="'; touch pwned; '")
    assert host.runs(lock.acquire(CONFIG, claim)).returncode == 0
    assert host.state().person == claim.line
    assert not (host.home / "pwned").exists()


# -- what a run left at work ------------------------------------------------------------------------------------------


WAITING = Command(name="wait", words=("sh", "-c", "echo begun; read -r go <gate; touch done"))
"""A step that says that it is there, then waits until somebody opens the gate."""


def until_begun(host: Host, going: subprocess.Popen[bytes]) -> None:
    assert going.stdout is not None
    assert any(line == b"begun\n" for line in going.stdout)


def lost(host: Host, session: subprocess.Popen[bytes]) -> None:
    """The session ends in order, as after its lease."""
    session.stdin.close()  # type: ignore[union-attr]
    session.stdin = None
    assert session.wait(timeout=20) == 0


@pytest.mark.parametrize("journal", [None, "runs/one"], ids=["attached", "detached"])
def test_next_run_gets_the_lock_only_when_the_last_script_of_the_one_before_has_ended(
    host: Host, journal: str | None
) -> None:
    first = host.hold("run-a")
    host.answer(first)
    going = host.begins("run-a", WAITING, journal=journal and str(host.home / journal))
    until_begun(host, going)
    lost(host, first)
    code, printed = host.refusal(host.hold("run-b"))
    error = lock.refusal("web-1", printed, code)
    assert isinstance(error, StillAtWork)
    assert "still at work on web-1 (jana since 2026-01-01T00:00:00Z: boot v2)" in str(error)
    assert not (host.home / ".kamal/locks/app").exists()
    host.open_gate()
    going.wait(timeout=20)
    assert host.answer(host.hold("run-b")) == "held"
    assert (host.home / "done").exists()


def test_starter_of_a_script_may_die_and_its_step_holds_the_place_on(host: Host) -> None:
    first = host.hold("run-a")
    host.answer(first)
    going = host.begins("run-a", WAITING)
    until_begun(host, going)
    lost(host, first)
    os.kill(going.pid, signal.SIGKILL)
    going.wait(timeout=20)
    assert host.refusal(host.hold("run-b"))[0] == 75
    host.open_gate()


def test_own_scripts_go_on_beside_each_other(host: Host) -> None:
    """Roles of a host, and a kamalnb that a hook of the run calls, have the same run's id."""
    host.answer(host.hold("run-a"))
    first = host.begins("run-a", WAITING)
    until_begun(host, first)
    second = host.begins("run-a", Command(name="touch", words=("touch", "beside")))
    assert second.wait(timeout=20) == 0
    assert (host.home / "beside").exists()
    host.open_gate()


def test_pull_of_a_dead_run_keeps_nobody_waiting(host: Host) -> None:
    first = host.hold("run-a")
    host.answer(first)
    until_begun(host, host.begins("run-a", replace(WAITING, beside=True)))
    lost(host, first)
    assert host.answer(host.hold("run-b")) == "held"
    host.open_gate()


def test_pull_in_a_script_that_holds_its_place_leaves_nothing_that_holds_it(host: Host) -> None:
    leaves = Command(name="login", words=("sh", "-c", "read -r go <gate >/dev/null 2>&1 &"), beside=True)
    first = host.hold("run-a")
    host.answer(first)
    assert host.begins("run-a", leaves, Command(name="touch", words=("touch", "x"))).wait(timeout=20) == 0
    lost(host, first)
    assert host.answer(host.hold("run-b")) == "held"


def test_script_that_comes_late_meets_the_new_id_though_the_old_session_was_killed(host: Host) -> None:
    first = host.hold("run-a")
    host.answer(first)
    host.kill(first)
    assert host.run_id == "run-a"
    host.answer(host.hold("run-b"))
    assert host.begins("run-a", Command(name="touch", words=("touch", "late"))).wait(timeout=20) == REFUSED
    assert not (host.home / "late").exists()


def test_lock_status_tells_what_is_still_at_work(host: Host) -> None:
    first = host.hold("run-a")
    host.answer(first)
    going = host.begins("run-a", WAITING)
    until_begun(host, going)
    assert host.state().run.startswith("jana")
    lost(host, first)
    assert host.state() == lock.Lock(work="jana since 2026-01-01T00:00:00Z: boot v2")
    assert host.state().sentence.startswith("A script of a run that has ended is still at work (jana since")
    host.open_gate()
    going.wait(timeout=20)
    assert host.state() == lock.Lock()


def test_looking_scripts_hold_nothing(host: Host) -> None:
    first = host.hold("run-a")
    host.answer(first)
    until_begun(host, host.begins("run-a", replace(WAITING, changes=False)))
    lost(host, first)
    assert host.answer(host.hold("run-b")) == "held"
    host.open_gate()


DOCKER = """\
#!/bin/sh
case $1 in
  run) echo begun; while [ ! -e removed ]; do sleep 0.05; done; exit 137 ;;
  rm) echo "$@" >removed ;;
esac
"""


def test_release_command_ends_with_the_lock_of_its_run(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    (host.home / "bin").mkdir()
    (host.home / "bin/docker").write_text(DOCKER)
    (host.home / "bin/docker").chmod(0o755)
    monkeypatch.setenv("PATH", f"{host.home}/bin:{os.environ['PATH']}")
    first = host.hold("run-a")
    host.answer(first)
    watch = exec.end_with_lock("app-exec-1", lock.path(CONFIG), "run-a")
    going = host.begins("run-a", watch, Command(name="release", words=("docker", "run")))
    until_begun(host, going)
    assert not (host.home / "removed").exists()
    lost(host, first)
    assert going.wait(timeout=20) == 137
    assert (host.home / "removed").read_text() == "rm --force --volumes app-exec-1\n"
    assert host.answer(host.hold("run-b")) == "held"
