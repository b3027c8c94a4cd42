"""A host itself: made ready, asked by a person's own command, and left for good. Nothing here may do I/O."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from ..commands import app, bootstrap, env_files, leftovers, proxy, server
from ..commands import cord as cords
from ..commands import traefik as traefik_commands
from ..config.model import Role
from ..cutover import belongs
from ..docker import Container
from ..errors import BootError, CommandFailed
from ..flow import Flow, ask, ask_all, do, run
from ..rollout import Done
from ..script import Script
from ..shell import Command
from ..traefik import routers
from .change import OnHost
from .env_files import path_of
from .removing import containers_removed, images_removed

EXEC_LIMIT = 3600.0
"""Seconds that a person's command may take without another wish."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """What a host has and what it would take. ``blocked`` is what only a person can do."""

    facts: bootstrap.Facts
    would: tuple[str, ...] = ()
    blocked: tuple[str, ...] = ()

    @property
    def ready(self) -> bool:
        """Nothing is missing."""
        return not self.would and not self.blocked

    @property
    def sentence(self) -> str:
        """It in one line."""
        has = f"{self.facts.os or 'unknown system'}, login as {self.facts.user}"
        if self.ready:
            return f"ready: Docker {self.facts.docker}, {has}."
        told = [*(f"would {what}" for what in self.would), *self.blocked]
        return f"{has}: {'; '.join(told)}."


def readiness(change: OnHost) -> Flow[Readiness]:
    """What is missing on a host, and what ``bootstrapped`` would do about it. Changes nothing."""
    facts = yield from ask(bootstrap.facts(change.config.run_directory))
    steps = [step for step in _steps(facts, change.config.run_directory) if step.needed]
    would = tuple(step.would for step in steps if step.possible)
    return Readiness(facts=facts, would=would, blocked=tuple(step.otherwise for step in steps if not step.possible))


def bootstrapped(change: OnHost) -> Flow[Done]:
    """Does what ``readiness`` says it would, and looks again. Raises ``BootError`` for what a person has to do."""
    before = yield from readiness(change)
    if before.ready:
        return Done(before.sentence, {"did": ()})
    if before.blocked:
        raise BootError(
            f"This host is not ready: {'; '.join(before.blocked)}.", serving="Nothing was changed.",
            hint="Then run it again: invoke server.bootstrap.",
        )  # fmt: skip
    steps = [step for step in _steps(before.facts, change.config.run_directory) if step.needed]
    try:
        yield from do(*(command for step in steps for command in step.commands), fence=change.fence)
    except CommandFailed as error:
        raise BootError(str(error), hint="Mend it there, then run it again: invoke server.bootstrap.") from error
    did = tuple(step.would for step in steps)
    anew = " It counts from the next login on." if any("group" in what for what in did) else ""
    return Done(f"done: {'; '.join(did)}.{anew}", {"did": did})


def executed(change: OnHost, line: str, *, limit: float = EXEC_LIMIT) -> Flow[Done]:
    """Runs a person's command on the host itself.

    ``data`` has ``exited``, ``stdout`` and ``stderr``; another exit code than 0 is no error here, none at all raises
    ``CommandFailed``.
    """
    (result,) = yield from run(Script(sections=Script.of(bootstrap.execute(line, limit)).sections, fence=change.fence))
    data = {"exited": result.exited, "stdout": result.stdout, "stderr": result.stderr, "seconds": result.seconds}
    return Done(f"exit code {result.exited}.", data)


def everything_removed(change: OnHost, *, traefik: bool = True) -> Flow[Done]:
    """Takes everything of this service and destination off a host: what runs is cut, drained and stopped first.

    Traefik goes too (unless ``traefik`` is False) where no other container on the host has routers. The lock's
    files stay: the run itself holds them. Raises ``BootError``.
    """
    config = change.config
    containers = yield from ask(app.containers(config.service))
    told: list[str] = []
    for role in _roles_there(change, containers):
        done = yield from containers_removed(change.of(role))
        told += [done.sentence] if done.data.get("removed") else []
    told.append((yield from images_removed(change)).sentence)
    told.append((yield from _files_removed(change)))
    told.append((yield from _traefik_removed(change)) if traefik else "Traefik stays.")
    return Done(" ".join(told), {"service": config.service, "destination": config.destination})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """One thing that a host may lack."""

    needed: bool
    possible: bool
    would: str
    otherwise: str
    commands: tuple[Command, ...]


def _steps(facts: bootstrap.Facts, directory: str) -> Iterator[_Step]:
    has_apt, root = facts.packages == "apt" and facts.may_install, facts.rights == "root"
    why_not = "no apt-get is there" if facts.packages != "apt" else f"{facts.user} may not use sudo without a password"
    yield _Step(
        needed=not facts.flock, possible=has_apt, would="install util-linux with apt-get",
        otherwise=f"flock is missing and {why_not}: install util-linux", commands=(bootstrap.install("util-linux"),),
    )  # fmt: skip
    yield _Step(
        needed=facts.docker == "none", possible=has_apt, would="install docker.io with apt-get and start it",
        otherwise=f"Docker is missing and {why_not}: install it (https://docs.docker.com/engine/install)",
        commands=(bootstrap.install("docker.io"), bootstrap.start_docker()),
    )  # fmt: skip
    yield _Step(
        needed=facts.docker == "down", possible=facts.may_install, would="start Docker",
        otherwise="Docker is there and does not answer: start it (systemctl enable --now docker, as root)",
        commands=(bootstrap.start_docker(),),
    )  # fmt: skip
    yield _Step(
        needed=facts.docker == "denied" or (facts.docker in ("none", "down") and not root and has_apt),
        possible=facts.may_install, would=f"put {facts.user} into the group docker",
        otherwise=f"{facts.user} may not use Docker: usermod -aG docker {facts.user}, as root",
        commands=(bootstrap.join_group(),),
    )  # fmt: skip
    yield _Step(
        needed=facts.directory == "no", possible=True, would=f"make the directory {directory}",
        otherwise="", commands=(bootstrap.make_directory(directory),),
    )  # fmt: skip
    yield _Step(
        needed=facts.directory == "locked", possible=False, would="", commands=(),
        otherwise=f"{directory} is not {facts.user}'s to write: chown it",
    )  # fmt: skip


def _roles_there(change: OnHost, containers: tuple[Container, ...]) -> list[Role]:
    """The file's roles, then those that it does not name any more and that have containers of this destination."""
    config = change.config
    known = list(config.roles_primary_first)
    mine = [one for one in containers if (one.labels.get("destination") or "") == (config.destination or "")]
    gone = dict.fromkeys(one.labels.get("role") or "" for one in mine)
    strangers = [replace(known[0], name=name) for name in gone if name not in {role.name for role in known}]
    return [role for role in (*known, *strangers) if any(belongs(one, role) for one in containers)]


def _files_removed(change: OnHost) -> Flow[str]:
    config = change.config
    home, found = yield from ask_all(server.home(), cords.all_of(config.run_directory))
    directory = change.directory(home)
    loose = cords.loose(found, (), [role.name_prefix for role in config.roles])  # their containers are gone
    audit = server.audit_path(config.service, config.destination, directory)
    steps = [env_files.delete(path_of(config, role)) for role in config.roles]
    steps += [leftovers.remove_directories(loose)] if loose else []
    steps += [server.tidy_runs(f"{directory}/runs"), leftovers.remove_files((audit,))]
    yield from do(*steps, fence=change.fence)
    return "env files, cords and the audit log: removed."


def _traefik_removed(change: OnHost) -> Flow[str]:
    containers = yield from ask(app.census(change.config.service))
    found = proxy.among(containers)
    env = env_files.delete(traefik_commands.env_file(change.config.run_directory))
    if found is None:
        yield from do(env, fence=change.fence)
        return "No Traefik was there."
    users = [one.name for one in containers if one.id != found.id and one.running and routers(one.labels, one.name)]
    if users:
        return f"Traefik stays: {', '.join(users)} is reached through it."
    yield from do(app.stop((found.id,), None, "stop traefik"), app.remove(found.id), env, fence=change.fence)
    return "Traefik was removed: nothing else was reached through it."
