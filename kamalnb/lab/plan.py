"""Where everything in a lab is: names, addresses, ports. Pure: what is free is found out elsewhere.

One lab uses one *block*: block 0 is 127.0.0.10 to 127.0.0.19 (with ports of 127.0.0.1: 2210, 8010, …), block 1 is
127.0.1.10 and so on, so that two labs can run on one machine.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import LabError

MOST_HOSTS = 9
USER = "deploy"
BLOCKS = range(8)
STABLE, NEWEST = "stable", "newest"
DOCKERS = (STABLE, NEWEST)
SUBNETS = tuple(f"10.{second}.{third}" for second in (213, 187, 154, 77) for third in (71, 72, 73, 74, 75))
"""First three numbers of the address ranges a lab tries for its network, each a /24."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Publish:
    """A port of this machine that leads to a port inside a lab container."""

    address: str
    port: int
    inside: int

    @property
    def word(self) -> str:
        """As ``docker run --publish`` takes it."""
        return f"{self.address}:{self.port}:{self.inside}"


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPlan:
    """One container of the lab that has an sshd: a host to deploy to, or the jump host."""

    name: str
    inside: str
    """Its address in the lab's own network."""
    ssh: Publish | None
    """How its sshd is reached from this machine; None: only through the jump host."""
    proxy: Publish | None
    """How its Traefik is reached from this machine."""
    ssh_port: int = 22
    """Where its sshd listens inside."""
    only_from: str = ""
    """The one address it takes SSH connections from; empty: any."""
    agent_key: bool = False
    """Takes only the key that the lab's ssh-agent holds."""
    special: str = ""
    """What is unusual about it, for people."""

    @property
    def published(self) -> tuple[Publish, ...]:
        """Every port of this machine that it uses."""
        return tuple(publish for publish in (self.ssh, self.proxy) if publish)

    @property
    def proxy_url(self) -> str:
        """Where its Traefik answers, seen from this machine."""
        return f"http://{self.proxy.address}:{self.proxy.port}" if self.proxy else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabPlan:
    """A whole lab, before anything is made."""

    id: str
    count: int
    ports: bool = False
    """Ports of 127.0.0.1 instead of loopback addresses."""
    block: int = 0
    subnet: str = SUBNETS[0]
    docker: str = STABLE
    """Which Docker the hosts have: ``stable`` (Debian 12's 20.10) or ``newest`` (that of Debian's unstable)."""

    @property
    def network(self) -> str:
        """Name of the Docker network; the bridge has the same (Linux allows 15 characters)."""
        return f"klab-{self.id}"

    @property
    def registry_inside(self) -> str:
        """The registry's address in the lab's network."""
        return f"{self.subnet}.5"

    @property
    def jump(self) -> HostPlan:
        """The jump host: sshd only."""
        ssh = self._publish(0, 22, 2210)
        return HostPlan(name="jump", inside=f"{self.subnet}.10", ssh=ssh, proxy=None, special="the way to web-2")

    @property
    def hosts(self) -> tuple[HostPlan, ...]:
        """The hosts to deploy to, in deploy.yml's order."""
        return tuple(self._host(number) for number in range(1, self.count + 1))

    @property
    def machines(self) -> tuple[HostPlan, ...]:
        """Every container with an sshd: the jump host, where one is needed, first."""
        return (self.jump, *self.hosts) if self.count >= 2 else self.hosts

    @property
    def published(self) -> tuple[Publish, ...]:
        """Every port of this machine that the lab uses."""
        return tuple(publish for machine in self.machines for publish in machine.published)

    def container(self, name: str) -> str:
        """Name of the container called ``name`` in this lab."""
        return f"klab-{self.id}-{name}"

    def _host(self, number: int) -> HostPlan:
        name, inside = f"web-{number}", f"{self.subnet}.{10 + number}"
        proxy = self._publish(number, 80, 8010)
        if number == 1:
            return HostPlan(
                name=name, inside=inside, ssh=self._publish(1, 2222, 2210), proxy=proxy, ssh_port=2222,
                special="sshd on port 2222",
            )  # fmt: skip
        if number == 2:
            return HostPlan(
                name=name, inside=inside, ssh=None, proxy=proxy, only_from=self.jump.inside, agent_key=True,
                special="only through the jump host, only with the agent's key",
            )  # fmt: skip
        return HostPlan(name=name, inside=inside, ssh=self._publish(number, 22, 2210), proxy=proxy)

    def _publish(self, number: int, inside: int, first_port: int) -> Publish:
        if self.ports:
            return Publish(address="127.0.0.1", port=first_port + 100 * self.block + number, inside=inside)
        return Publish(address=f"127.0.{self.block}.{10 + number}", port=inside, inside=inside)


def lab_id(directory: Path) -> str:
    """Eight hex digits that name the lab of this directory; the same again after the directory was emptied."""
    return hashlib.sha256(os.fsencode(directory.absolute())).hexdigest()[:8]


def check_count(count: int) -> None:
    """LabError unless a lab can have that many hosts."""
    if not 1 <= count <= MOST_HOSTS:
        raise LabError(f"A lab has 1 to {MOST_HOSTS} hosts, not {count}. Say --count=2, for instance.")


def check_docker(docker: str) -> None:
    """LabError unless a lab's hosts can have that Docker."""
    if docker not in DOCKERS:
        raise LabError(f"A lab's Docker is {' or '.join(DOCKERS)}, not “{docker}”. Say --docker=newest, for instance.")


def no_block(problems: Sequence[tuple[Publish, str]]) -> LabError:
    """The error where no block is free. ``problems`` holds, for each block, its first port that cannot be used."""
    publish, why = problems[0]
    where = f"{publish.address}:{publish.port}"
    if why == "no address":
        return LabError(
            f"The address {publish.address} cannot be used on this machine (macOS has only 127.0.0.1). "
            "Run lab.up with --ports: it uses ports of 127.0.0.1."
        )
    if publish.address == "127.0.0.1":
        return LabError(f"Port {publish.port} of 127.0.0.1 is taken, and so are all others the lab tries. Free it.")
    return LabError(
        f"{where} is taken by another program, and so is that port on all other addresses the lab would use. "
        "Stop that program, or run lab.up with --ports."
    )
