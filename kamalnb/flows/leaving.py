"""Containers on their way out: cut, confirmed out by the proxy, drained, stopped, and removed if they are to be.

One detached script does all of it, so that a controller that dies leaves a clean end. Nothing here may do I/O.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..aftermath import first_failure, followed, sentence, tidied, told_of
from ..commands import app, cord, host, proxy
from ..cutover import Old, Situation, port_of, version_of
from ..docker import Container
from ..errors import BootError
from ..events import Fact, Phase
from ..flow import Enter, Flow, Tell
from ..script import REFUSED, Script, Section
from ..shell import Command, Result
from .change import Change
from .standing import main_router, old_of

NO_WAY = proxy.Way(by="host", urls=(), api=None, network="", address="-")
"""Where the proxy cannot be asked about a container: then it is taken to be out after a wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaving:
    """``containers`` of a role that leave, running or not; ``removed`` if they do not stay as stopped ones."""

    change: Change
    situation: Situation
    containers: tuple[Container, ...]
    removed: bool = False

    @property
    def directory(self) -> str:
        """Kamal's directory on the host."""
        return self.change.directory(self.situation.home)

    @property
    def running(self) -> tuple[Old, ...]:
        """The ones that run, with their cords."""
        role = self.change.role
        return tuple(old_of(one, role, self.situation) for one in self.containers if one.running)

    @property
    def routed(self) -> tuple[Old, ...]:
        """The ones that a proxy may route to."""
        behind = self.change.role.traefik and self.situation.proxy is not None
        return self.running if behind else ()

    @property
    def script(self) -> Script:
        """All of it. Until the proxy has let go, a failure ties the cords again; from then on it goes forward."""
        steps = [*self._drained(), *self._stopped(), *self._removed(), self._audit()]
        sections = (*self._out(), Section(steps=tuple(steps)))
        journal = f"{self.directory}/runs/{self.change.nonce}"
        return Script(sections=sections, journal=journal, fence=self.change.fence)

    @property
    def phases(self) -> tuple[tuple[int, Phase], ...]:
        """Which phase begins with which command."""
        first = {"drain": Phase.DRAIN, "stop container": Phase.STOP}
        found: dict[Phase, int] = {}
        script = self.script
        for number in script.order:
            if (phase := first.get(script.commands[number].name)) is not None:
                found.setdefault(phase, number)
        return tuple((number, phase) for phase, number in found.items())

    def versions(self, containers: tuple[Container, ...] | None = None) -> tuple[str, ...]:
        """The versions of ``containers`` (all of them by default), each once."""
        chosen = self.containers if containers is None else containers
        return tuple(dict.fromkeys(version_of(one, self.change.role) for one in chosen))

    def _out(self) -> tuple[Section, ...]:
        cuttable = [old for old in self.routed if old.cord]
        if not cuttable:
            return ()
        cuts = [cord.cut(old.cord) for old in cuttable if old.cord]
        # Only what was tied is tied again: a leftover in the dark must stay there.
        undo = [cord.tie(old.cord) for old in cuttable if old.cord and self.situation.cords[old.cord] == "tied"]
        return (Section(steps=(*cuts, *(self._let_go(old) for old in cuttable)), undo=tuple(undo)),)

    def _let_go(self, old: Old) -> Command:
        port = port_of(self.change.role, old.container)
        assert self.situation.proxy is not None  # noqa: S101
        return proxy.out(old, proxy.service_of(old), self._way(old, port), port, self.situation.proxy)

    def _way(self, old: Old, port: int) -> proxy.Way:
        assert self.situation.proxy is not None  # noqa: S101
        main = main_router(old.container)
        try:
            return proxy.way_to(self.situation.proxy, old.container, main, port, self.situation.host_tool)
        except BootError:  # they share no network, or several
            return NO_WAY

    def _drained(self) -> list[Command]:
        traefik, role = self.situation.proxy, self.change.role
        alive = [old for old in self.routed if old.container.status == "running"]
        return [proxy.drain(old, role, port_of(role, old.container), traefik) for old in alive if traefik]

    def _stopped(self) -> list[Command]:
        ids = tuple(old.container.id for old in self.running)
        return [app.stop(ids, self.change.role.stop_wait_time)] if ids else []

    def _removed(self) -> list[Command]:
        if not self.removed:
            return []
        removed = [app.remove(container.id) for container in self.containers]
        cords = cords_of(self.containers, self.change.role.healthcheck.cord, self.directory)
        return [*removed, *map(cord.remove, cords)]

    def _audit(self) -> Command:
        verb = "Removed" if self.removed else "Stopped"
        return self.change.said(f"{verb} app version {', '.join(self.versions())}")


def cords_of(containers: tuple[Container, ...], target: str | None, directory: str) -> tuple[str, ...]:
    """The cord directories of ``containers``, those below our own directory alone: others' are not ours to remove."""
    sources = (one.source_of(target or "/tmp/kamal-cord") or "" for one in containers)  # noqa: S108
    below = f"{directory}/cords/"
    return tuple(dict.fromkeys(s for s in sources if s.startswith(below) and "/" not in s.removeprefix(below)))


def left(leaving: Leaving) -> Flow[None]:
    """Lets them leave. Raises ``BootError``: why, and what serves and runs now."""
    for old in leaving.routed:
        if old.cord is None and old.container.routable:
            name = old.container.name
            text = f"{name} has no cord, so Traefik sent it requests until it stopped: the last ones may be lost"
            yield Tell(Fact(kind="no-cord", text=text, warning=True))
    if leaving.running:
        # From here on the host finishes by itself: a person's stop would only hide the end.
        yield Enter(Phase.SWITCH)

    def lost(why: str, goes_on: str) -> BootError:
        what = "Some of them may still run, and serve"
        hint = "Look what runs there: invoke containers. Then run the same command again."
        return BootError(f"{why} while its containers were being stopped.", serving=f"{what}{goes_on}.", hint=hint)

    script = leaving.script
    results = yield from followed(script, leaving.phases, lost)
    yield from told_of(leaving.situation.proxy, leaving.routed, results)
    yield from tidied(leaving.directory, leaving.change.fence)
    failed = first_failure(script, results)
    if failed is not None:
        raise explained(leaving, *failed)


def explained(leaving: Leaving, number: int, result: Result) -> BootError:
    """A step that failed, in words: what is true now, and what to do."""
    versions = ", ".join(leaving.versions(tuple(old.container for old in leaving.running)))
    if number < 0 or result.exited == REFUSED:
        return BootError(
            "This run does not hold the host's lock any more.", serving="Nothing was changed there.",
            hint="Look who does: invoke lock.status.",
        )  # fmt: skip
    why = sentence(result)
    if result.exited == host.UNROUTED:
        why = "Traefik did not let the container go in time."
    out = leaving._out()
    if out and number < len(out[0].steps):
        return BootError(
            why, serving=f"{versions} serves, as before: its cord was tied again.",
            hint="Look at the proxy and the host: invoke check.",
        )  # fmt: skip
    left_so = "Traefik does not route to it any more" if out else "it may still run"
    return BootError(
        why, serving=f"{versions or 'What was stopped'} was not stopped and removed as asked; {left_so}.",
        hint="Look what runs there: invoke containers. Then run the same command again.",
    )  # fmt: skip
