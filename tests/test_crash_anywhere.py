"""At every single command of a boot something goes wrong; then the same boot once more brings the host to rights.

The commands are counted in a boot that goes well, never listed by hand. Requests come all the time: none is lost.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field, replace

import pytest
from boots import KAMAL_CORD, booted
from test_boot_any_answer import HOSTS

from kamalnb.boot import boot
from kamalnb.errors import HostUnreachable, KamalnbError
from kamalnb.flow import Run
from kamalnb.plan import BootPlan
from kamalnb.script import DIED
from kamalnb.shell import Result
from kamalnb.testing import PretendHost, drive
from kamalnb.testing.running import Running

pytestmark = pytest.mark.slow


class Killed(Exception):
    """The controller is no more: nothing cleans up."""


FAULTS = {
    "killed before": "the controller dies, and with it the script, before the command began",
    "killed after": "the same, when the command has ended",
    "killed, runs on": "the controller dies; the host runs the script at hand to its end, since it has all of it",
    "refused": "the connection breaks before the script with the command is sent",
    "lost before": "the connection breaks before the command began, and the script ends with it",
    "reply lost": "the script ran to its end; nothing from the command on is told",
    "late": "the connection breaks at the command; the script goes on beside all that the controller then does",
    "killed there": "the host's script is killed before the command began; the controller lives, and is told",
    "twice": "the script with the command runs twice",
    "fails": "the command ends with 1, and does nothing",
}


@dataclass
class Faulty:
    """Plays a boot's runs on a pretend host, with one fault at the command of this number."""

    host: PretendHost
    fault: str = ""
    at: int = -1
    seen: int = 0
    names: list[str] = field(default_factory=list)

    def __call__(self, run: Run) -> tuple[Result, ...] | KamalnbError:
        first = self.seen
        here = first <= self.at < first + len(run.script.commands) and not self._over
        if here and self.fault == "refused":
            self._over = True
            return HostUnreachable(self.host.name, "connect", "refused")
        running = self.host.begin(run.script)
        if not here:
            return self._ended(running)
        self._until(running, self.at - first + (self.fault == "killed after"))
        self._over = True
        if running.done and self.fault in ("killed before", "killed there", "lost before", "late"):
            return self._ended(running)  # an undo that was not needed, or the steps after a failure
        return self._struck(run, running)

    _over: bool = False

    def _struck(self, run: Run, running: Running) -> tuple[Result, ...]:
        cut = running.partly("the connection was lost")
        if self.fault in ("killed before", "killed after"):
            if run.script.journal is None:
                running.task.kill()
            raise Killed
        if self.fault == "killed there":
            running.task.kill()
            return (*cut[:-1], replace(cut[-1], exited=DIED)) if run.script.journal else cut
        if self.fault == "lost before" and run.script.journal is None:
            running.task.kill()
        if self.fault == "fails":
            return running.all()
        if self.fault in ("killed, runs on", "reply lost", "twice"):
            told = self._ended(running)
            if self.fault == "killed, runs on":
                raise Killed
            if self.fault == "twice":
                return told if run.script.journal else self._ended(self.host.begin(run.script))
        return cut

    def _until(self, running: Running, number: int) -> None:
        """Lets the host go on until the command of this number is at hand."""
        if self.fault == "fails":
            self.host.fail(running.commands[number].name)
            self._ended(running)
            return
        while not running.done and running.step < number:
            self.host.time.step()

    def _ended(self, running: Running) -> tuple[Result, ...]:
        while not running.done:
            self.host.time.step()
        self.seen += len(running.commands)
        self.names += [one.name for one in running.commands]
        return running.all()


def played(name: str, fault: str = "", at: int = -1) -> tuple[PretendHost, BootPlan, Faulty]:
    host, chosen = HOSTS[name]()
    faulty = Faulty(host, fault, at)
    drive(boot(chosen), faulty, pause=host.time.pass_by)
    return host, chosen, faulty


STATES = ["fresh", "up", "down", "same", "kamals", "leftovers", "pulled", "worker"]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("state", STATES)
def test_at_every_command_of_a_boot(state: str, fault: str) -> None:
    clean = played(state)[2]
    assert len(clean.names) > 10
    wrong = [told for at in range(len(clean.names)) if (told := trouble(state, fault, at, clean.names[at]))]
    assert wrong == []


def trouble(state: str, fault: str, at: int, command: str) -> str:
    """What is not as it must be after this fault and the same boot again; empty where all is well."""
    host, chosen = HOSTS[state]()
    served = host.serving is not None and chosen.role.traefik
    traffic = host.traffic(every=0.2) if served else None
    host.time.pass_by(0.5)
    with contextlib.suppress(Killed):
        drive(boot(chosen), Faulty(host, fault, at), pause=host.time.pass_by)
    where = f"{fault} “{command}” (number {at})"
    host.failing.clear()
    host.time.pass_by(1.0)
    done = booted(host, chosen.version, chosen.role)
    host.time.pass_by(40.0)
    if done.error is not None:
        return f"{where}: the same boot again fails: {done.error}"
    if host.running != [chosen.version]:
        return f"{where}: {host.running} run"
    if (named := host.of(chosen.version).name) != chosen.container_name:
        return f"{where}: {chosen.version} runs as {named}"
    if chosen.role.traefik and host.serving != chosen.version:
        return f"{where}: {host.serving} serves"
    if traffic is not None and (lost := traffic.end().lost):
        return f"{where}: lost {lost[:3]}"
    tied = [cord for cord, is_tied in host.cords.items() if is_tied == "tied"]
    if chosen.role.traefik and len(tied) != 1:
        return f"{where}: cords tied {tied}"
    mounted = {container.cord for container in host.containers.values()}
    if loose := [cord for cord in host.cords if cord not in mounted and cord != KAMAL_CORD]:
        return f"{where}: cords of no container {loose}"
    return ""
