"""Never two writers on a host, whatever is killed, stopped, cut and resumed: a model, pretend hosts, real shells."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import threading
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from lock_model import HOSTS, Model, story

from kamalnb.commands import lock
from kamalnb.config.model import Config, Role, TraefikSettings
from kamalnb.script import REFUSED, Script, Section, render
from kamalnb.shell import Command
from kamalnb.testing import PretendHost
from kamalnb.testing.fleet import PretendFleet, PretendHold
from kamalnb.testing.running import Running

pytestmark = pytest.mark.slow

CONFIG = Config(
    service="app",
    image="app",
    traefik=TraefikSettings(image="traefik:v3.7"),
    roles=(Role(name="web", service="app", destination=None, hosts=HOSTS, traefik=True),),
)
INTERLEAVINGS, STEPS = 10_000, 40
LEASE = 1.0


def claim(run: str) -> lock.Claim:
    return lock.Claim(run_id=run, who="jana", when="2026-01-01T00:00:00Z", version="v2", why="boot")


class Interleaving(RuleBasedStateMachine):
    """Hypothesis chooses what happens, and shortens what breaks a promise."""

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()

    @rule(data=st.data())
    def something_happens(self, data: st.DataObject) -> None:
        self.model.do(data.draw(st.sampled_from(list(self.model.possible()))))

    @invariant()
    def no_two_hold_a_host(self) -> None:
        self.model.check()


TestInterleaving = Interleaving.TestCase
TestInterleaving.settings = settings(max_examples=100, stateful_step_count=STEPS, deadline=None)


def test_ten_thousand_interleavings_have_no_two_writers_on_a_host() -> None:
    wrote = refused = waited = 0
    for seed in range(INTERLEAVINGS):
        model = story(seed, STEPS)
        wrote, refused, waited = wrote + model.wrote, refused + model.refused, waited + model.waited
    assert wrote > INTERLEAVINGS / 2
    assert refused > INTERLEAVINGS / 20  # late deployers, told so by the hosts themselves
    assert waited > INTERLEAVINGS / 20  # for scripts that went on after their run had lost the lock


def test_the_model_finds_two_writers_where_nothing_fences_them() -> None:
    with pytest.raises(AssertionError, match="which run-"):
        any(story(seed, STEPS, fenced=False).refused for seed in range(INTERLEAVINGS))


def test_the_model_finds_two_writers_where_scripts_hold_nothing() -> None:
    with pytest.raises(AssertionError, match="is written to by"):
        any(story(seed, STEPS, held=False).waited for seed in range(INTERLEAVINGS))


# -- pretend hosts ------------------------------------------------------------------------------------------


class Pretend:
    """A pretend fleet in the place of the world. What kills its sessions is not played: see ``killed``."""

    def __init__(self) -> None:
        self.fleet = PretendFleet([PretendHost(name) for name in HOSTS])
        self.holds: dict[tuple[str, str], PretendHold] = {}
        self.at_work: dict[tuple[str, str], list[Running]] = defaultdict(list)

    def take(self, host: str, run: str, primary: bool) -> bool:
        hold = self.fleet.hold(host, lock.hold(CONFIG, claim(run), primary=primary), lock.HEARTBEAT)
        self.holds[host, run] = hold  # type: ignore[assignment]
        return hold.held

    def ends(self, host: str, run: str) -> None:
        self.holds.pop((host, run)).release()

    late = killed = ends

    def write(self, host: str, run: str) -> bool:
        step = Command(name="write", words=("k_assume", "3600"))
        script = Script(sections=(Section(steps=(step,)),), fence=(lock.path(CONFIG), run))
        here = self.fleet.hosts[host]
        running = here.begin(script)
        here.time.pass_by(0.0)
        if running.done:
            (result,) = running.all()
            assert result.exited == REFUSED
            return False
        self.at_work[host, run].append(running)
        return True

    def done(self, host: str, run: str) -> None:
        self.fleet.hosts[host].time.finish(self.at_work[host, run].pop(0).task)


class _WithoutViolence(Model):
    """No session is killed on its host: pretend ones end in order only."""

    def possible(self) -> Iterator[tuple[str, ...]]:
        return (action for action in super().possible() if action[0] != "kill session")


def test_pretend_hosts_answer_as_the_model_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lock_model.Model", _WithoutViolence)
    assert sum(story(seed, STEPS, Pretend()).wrote for seed in range(200)) > 200


# -- real shells ------------------------------------------------------------------------------------------


class Real:
    """A directory for each host, and the real script in a real shell for each session."""

    def __init__(self, path: Path, shell: tuple[str, ...]) -> None:
        self.shell = shell
        self.homes = {name: path / name for name in HOSTS}
        for home in self.homes.values():
            home.mkdir()
        self.sessions: dict[tuple[str, str], subprocess.Popen[bytes]] = {}
        self.at_work: dict[tuple[str, str], list[tuple[subprocess.Popen[bytes], Path, int]]] = defaultdict(list)
        self.scripts = 0
        self.beating: set[tuple[str, str]] = set()
        self._over = threading.Event()
        self._beats = threading.Thread(target=self._beat, daemon=True)
        self._beats.start()

    def take(self, host: str, run: str, primary: bool) -> bool:
        words = [str(word) for word in lock.hold(CONFIG, claim(run), primary=primary, lease=LEASE).words]
        session = subprocess.Popen(
            [*self.shell, *words[1:]],
            cwd=self.homes[host],
            start_new_session=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.sessions[host, run] = session
        self.beating.add((host, run))
        assert session.stdout is not None
        held = session.stdout.readline() == b"held\n"
        if not held:
            self._leave(host, run)
        return held

    def ends(self, host: str, run: str) -> None:
        session = self._leave(host, run)
        assert session.wait(timeout=60) == 0

    def late(self, host: str, run: str) -> None:
        self.beating.discard((host, run))
        assert self.sessions[host, run].wait(timeout=60) == 0
        self._leave(host, run)

    def killed(self, host: str, run: str) -> None:
        os.killpg(self.sessions[host, run].pid, signal.SIGKILL)
        self.sessions[host, run].wait(timeout=60)
        self._leave(host, run)
        with open(self.homes[host] / lock.path(CONFIG)) as file:  # the kernel takes the last of its processes apart
            fcntl.flock(file, fcntl.LOCK_EX)

    def write(self, host: str, run: str) -> bool:
        """It says that it has begun, and ends when somebody opens its gate; every second one is a detached one."""
        self.scripts += 1
        gate = self.homes[host] / f"gate-{self.scripts}"
        os.mkfifo(gate)
        opener = os.open(gate, os.O_RDWR)  # both ends: whoever writes there never waits for a reader
        step = Command(name="write", words=("sh", "-c", f"echo begun; read -r go <{gate}; touch {gate}.done"))
        journal = str(self.homes[host] / "runs" / gate.name) if self.scripts % 2 else None
        script = Script(sections=(Section(steps=(step,)),), fence=(lock.path(CONFIG), run), journal=journal)
        going = subprocess.Popen(
            [*self.shell, "-s"], cwd=self.homes[host], start_new_session=True, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        assert going.stdin is not None
        assert going.stdout is not None
        going.stdin.write(render(script, "kmark").encode())
        going.stdin.close()
        going.stdin = None
        said = next(line for line in going.stdout if line.strip())
        if said == b"begun\n":
            self.at_work[host, run].append((going, gate, opener))
            return True
        os.close(opener)
        going.communicate(timeout=60)
        assert said == f"kmark end {REFUSED}\n".encode()
        return False

    def done(self, host: str, run: str) -> None:
        going, gate, opener = self.at_work[host, run].pop(0)
        os.write(opener, b"go\n")
        going.communicate(timeout=60)
        os.close(opener)
        assert gate.with_name(f"{gate.name}.done").exists()

    def close(self) -> None:
        self._over.set()
        self._beats.join()
        for host, run in self.at_work:
            while self.at_work[host, run]:
                self.done(host, run)
        for session in self.sessions.values():
            if session.poll() is None:
                os.killpg(session.pid, signal.SIGKILL)
            with contextlib.suppress(OSError):
                session.communicate()

    def _leave(self, host: str, run: str) -> subprocess.Popen[bytes]:
        self.beating.discard((host, run))
        session = self.sessions[host, run]
        with contextlib.suppress(OSError, ValueError):
            session.stdin.close()  # type: ignore[union-attr]
        session.stdin = None
        return session

    def _beat(self) -> None:
        while not self._over.wait(0.1):
            for key in tuple(self.beating):
                with contextlib.suppress(OSError, ValueError, AttributeError):
                    os.write(self.sessions[key].stdin.fileno(), b".\n")  # type: ignore[union-attr]


class _Patient(Model):
    """Real sessions of those that stand still would end by themselves at any moment: a lease passes at once."""

    def do(self, action: tuple[str, ...]) -> None:
        super().do(action)
        if action[0] in ("stop", "cut", "kill", "release"):
            super().do(("a lease passes",))


@pytest.mark.parametrize("shell", [("dash",), ("bash",), ("busybox", "sh")], ids=lambda shell: shell[0])
@pytest.mark.parametrize("seed", range(7))
def test_real_shells_answer_as_the_model_does(
    shell: tuple[str, ...], seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which(shell[0]) is None:
        pytest.skip(f"no {shell[0]} here")
    monkeypatch.setattr("lock_model.Model", _Patient)
    world = Real(tmp_path, shell)
    try:
        story(100 + seed, 30, world)
    finally:
        world.close()


def test_no_run_gets_a_host_while_a_script_of_the_run_before_goes_on_there(tmp_path: Path) -> None:
    world = Real(tmp_path, ("dash",))
    try:
        assert world.take("one", "run-a", True)
        assert world.write("one", "run-a")
        world.late("one", "run-a")
        assert not world.take("one", "run-b", True)
        world.done("one", "run-a")
        assert world.take("one", "run-c", True)
    finally:
        world.close()
