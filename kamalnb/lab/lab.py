"""A lab that was brought up: its hosts, what can be done to them, and how they are.

Real hosts on one machine: each is a container with its own sshd and its own Docker engine, plus a registry.
"""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ..errors import LabError, UsageError
from . import hosts
from . import state as states
from .engine import Engine
from .plan import USER, HostPlan, LabPlan
from .registry import RegistryLogin
from .state import State


@dataclass(frozen=True, slots=True, kw_only=True)
class LabHost:
    """One host of a lab, as deploy.yml names it."""

    name: str
    address: str
    """Where its sshd is reached; for a host behind the jump host its address there."""
    ssh_port: int
    user: str
    proxy_url: str
    """Where its Traefik answers, seen from this machine, without a slash at the end."""
    inside: str
    """Its address in the lab's own network."""
    container: str
    """Name of its container in the outer engine."""
    special: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of ``lab.status``."""

    name: str
    address: str
    user: str
    ssh_port: int
    proxy_url: str
    state: str
    """As Docker says it (running, exited, paused, …), "missing", or "no engine"."""
    docker: str
    """Version of the engine inside; empty where it does not answer."""
    images: tuple[str, ...]
    """What the engine inside has, as ``name:tag``."""
    special: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lab:
    """A lab that was brought up. Its methods are for tests that break things: they act as root, past SSH."""

    directory: Path
    hosts: tuple[LabHost, ...]
    engine: Engine
    """The outer engine; ``lab.engine.docker("ps")`` runs docker against it."""

    @property
    def config_file(self) -> Path:
        """The deploy.yml that was written for it."""
        return self.directory / "config" / "deploy.yml"

    @property
    def ssh_config(self) -> Path:
        """The OpenSSH configuration that knows its hosts."""
        return self.directory / "ssh_config"

    @property
    def registry_login(self) -> RegistryLogin:
        """Who may pull from the registry that asks for a login."""
        return RegistryLogin(directory=self.directory / "keys")

    def host(self, name: str) -> LabHost:
        """The host called ``name``; UsageError names the choices."""
        found = next((host for host in self.hosts if host.name == name), None)
        if found is None:
            raise UsageError(
                f"The lab has no host {name}. Its hosts are {', '.join(host.name for host in self.hosts)}."
            )
        return found

    def exec(self, host: str, argv: list[str], input: str | None = None) -> subprocess.CompletedProcess[str]:
        """Runs a command as root on a host, from outside; its exit code is for the caller to look at."""
        flags = ("--interactive",) if input is not None else ()
        return self.engine.docker("exec", *flags, self.host(host).container, *argv, input=input, check=False)

    def stop(self, host: str) -> None:
        """Kills a whole host, as when its power goes. Its disk stays."""
        self.engine.docker("kill", self.host(host).container, check=False)

    def start(self, host: str) -> None:
        """Starts a stopped host again, and waits for its Docker."""
        hosts.start(self.engine, self.host(host).container)
        hosts.await_docker(self.engine, self.host(host).container)

    def freeze(self, host: str) -> None:
        """Stops time on a host: connections stay open and nothing answers."""
        self.engine.docker("pause", self.host(host).container)

    def thaw(self, host: str) -> None:
        """Ends ``freeze``."""
        self.engine.docker("unpause", self.host(host).container)

    def stop_docker(self, host: str) -> None:
        """Stops the Docker engine on a host (and its containers) until ``start_docker``; its process has ended then.

        It stops answering long before its containers have stopped.
        """
        self._docker_service(host, "touch /run/lab/no-docker", "TERM", '! kill -0 "$(cat /run/lab/docker.pid)"')

    def start_docker(self, host: str) -> None:
        """Starts it again, and waits until it answers."""
        self._docker_service(host, "rm -f /run/lab/no-docker", "", "docker version")

    def restart_docker(self, host: str, signal: str = "TERM") -> None:
        """Restarts the Docker engine on a host, and waits until it answers.

        ``signal="KILL"`` is a crash: Docker 20.10 then ends the containers that survived it and leaves them so.
        """
        before = self.exec(host, ["cat", "/run/lab/docker.pid"]).stdout.strip()
        self._docker_service(host, ":", signal, f'[ "$(cat /run/lab/docker.pid)" != "{before}" ] && docker version')

    def _docker_service(self, host: str, first: str, signal: str, until: str) -> None:
        kill = f'kill -{signal} "$(cat /run/lab/docker.pid)"; ' if signal else ""
        wait = f"i=0; until {until} >/dev/null 2>&1; do i=$((i+1)); [ $i -lt 200 ] || exit 1; sleep 0.1; done"
        if self.exec(host, ["sh", "-c", f"{first}; {kill}{wait}"]).returncode != 0:
            raise LabError(f"Docker on {host} did not do as it was told within 20 seconds. Run lab.up again.")


def lab_of(state: State, directory: Path) -> Lab:
    """The handle on a lab whose state was read."""
    found = tuple(_lab_host(state.plan, host) for host in state.plan.hosts)
    return Lab(directory=directory, hosts=found, engine=state.engine)


def _lab_host(plan: LabPlan, host: HostPlan) -> LabHost:
    return LabHost(
        name=host.name,
        address=host.ssh.address if host.ssh else host.inside,
        ssh_port=host.ssh.port if host.ssh else host.ssh_port,
        user=USER,
        proxy_url=host.proxy_url,
        inside=host.inside,
        container=plan.container(host.name),
        special=host.special,
    )


def find(directory: Path) -> Lab:
    """The lab of that directory, as it was last brought up; LabError where there is none."""
    state = states.read(directory.absolute())
    if state is None:
        raise LabError(f"There is no lab in {directory}. Run lab.up.")
    return lab_of(state, directory.absolute())


def status(directory: Path) -> list[Row]:
    """A row for each host of the lab, the jump host included, whatever state it is in; none where there is no lab."""
    state = states.read(directory.absolute())
    if state is None:
        return []
    engine = state.engine
    there = hosts.existing(engine, state.plan.id) if engine.answers() else None

    def row(machine: HostPlan) -> Row:
        container = state.plan.container(machine.name)
        seen = there.get(container) if there is not None else None
        now = "no engine" if there is None else seen.state if seen else "missing"
        version, found = inside(engine, container) if now == "running" and machine in state.plan.hosts else ("", ())
        about = _lab_host(state.plan, machine)
        return Row(
            name=about.name, address=about.address, user=about.user, ssh_port=about.ssh_port,
            proxy_url=about.proxy_url, state=now, docker=version, images=found, special=about.special,
        )  # fmt: skip

    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(row, state.plan.machines))


def inside(engine: Engine, container: str) -> tuple[str, tuple[str, ...]]:
    """Version and images of the engine inside a host; empty where it does not answer within 10 seconds."""
    script = "docker version --format '{{.Server.Version}}' && docker image ls --format '{{.Repository}}:{{.Tag}}'"
    done = engine.docker("exec", container, "timeout", "10", "sh", "-c", script, check=False)
    lines = done.stdout.split() if done.returncode == 0 else []
    return (lines[0], tuple(sorted(lines[1:]))) if lines else ("", ())


def ssh_command(directory: Path, host: str) -> list[str]:
    """The command that opens a shell on a host (or on ``jump``); LabError or UsageError where there is none."""
    state = states.read(directory.absolute())
    if state is None:
        raise LabError(f"There is no lab in {directory}. Run lab.up.")
    names = [machine.name for machine in state.plan.machines]
    if host not in names:
        raise UsageError(f"The lab has no host {host}. Its hosts are {', '.join(names)}.")
    return [*ssh_words(directory.absolute()), host]


def ssh_words(directory: Path) -> list[str]:
    """``ssh`` with the lab's configuration."""
    return ["ssh", "-F", str(directory / "ssh_config")]
