"""A pretend host: Docker, cords, files and Traefik in virtual time. It refuses commands that it was not told about."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from ..commands.traefik import CATCH_ALL
from ..script import Script
from ..shell import Command
from .apps import APPS, App, PretendImage, digest
from .containers import Check, PretendContainer, life
from .proxy import PretendTraefik
from .running import Running
from .time import VirtualTime
from .traffic import Traffic

EPOCH = "2026-01-01"
TRAEFIK = "traefik:v3.7"
_KAMALS_WORDS = ("--publish", "80:80", "--volume", "/var/run/docker.sock:/var/run/docker.sock")


class Unexpected(AssertionError):
    """A pretend host was asked something that it cannot play."""


class PretendHost:
    """One host. Everything of it may be looked at and changed by a test.

    ``repository`` holds the images ``apps`` by tag.
    """

    home = "/home/deploy"
    docker_answers = True
    hides_cords = False  # as SELinux would
    security: tuple[str, ...] = ("seccomp,profile=default",)  # Docker's own list
    unreachable = False
    password: str | None = None
    """What the registry takes; None: anything."""
    free_kib = 50 * 1024 * 1024
    memory = 4 * 1024**3
    began = 1_767_225_600.0
    clock: Callable[[], float] | None = None

    def __init__(
        self,
        name: str = "web-1",
        *,
        traefik: PretendTraefik | None = None,
        apps: Mapping[str, App] = APPS,
        repository: str = "registry.example/app",
        pace: Callable[[float], None] | None = None,
    ) -> None:
        self.name = name
        self.time = VirtualTime(pace)
        self.lock = threading.RLock()
        self.traefik = traefik or PretendTraefik()
        self.repository = repository
        self.images: dict[str, PretendImage] = {}
        self.registry: dict[str, PretendImage] = {}
        self.containers: dict[str, PretendContainer] = {}
        self.cords: dict[str, str] = {}
        self.files: dict[str, str] = {}
        self.tools: tuple[str, ...] = ("curl",)
        self.networks = {"bridge": "172.17.0"}
        self.new_in: tuple[str, ...] = ("bridge",)
        self.docker = {"Version": "28.0.0", "ApiVersion": "1.48", "MinAPIVersion": "1.24"}
        self.logins: dict[str, str] = {}
        """Registries that Docker is logged in to, and as whom."""
        self.failing: dict[str, list[tuple[int, str]]] = {}
        self.losing: dict[str, int] = {}
        self.did: list[str] = []
        self.ran: list[tuple[str, ...]] = []
        """What ran once: image and words of one-off containers, shell lines."""
        self.detached: dict[str, Running] = {}
        self.scripts: list[Running] = []
        """Those that have not ended; a detached one outlives its connection."""
        self._count = 0
        for tag, app in apps.items():
            self.add_image(tag, app)
        self._start_traefik()

    def add_image(self, tag: str, app: App, *, here: bool = True, registry: bool = True) -> None:
        """An image called ``tag``; on the host, in the registry, or both."""
        reference = f"{self.repository}:{tag}"
        image = PretendImage(id=digest(tag), app=app, tags=(reference,))
        if here:
            self.images[reference] = image
        if registry:
            self.registry[reference] = image

    def start(
        self,
        name: str,
        reference: str,
        *,
        labels: Mapping[str, str] | None = None,
        check: Check | None = None,
        cord: str | None = None,
        networks: tuple[str, ...] | None = None,
    ) -> PretendContainer:
        """Runs a container, as ``docker run`` does. Raises KeyError where the image is not there."""
        self._count += 1
        image = self.images[reference]
        container = PretendContainer(
            id=f"{self._count:012x}{self._count:052x}",
            name=name,
            image=reference,
            app=image.app,
            labels=dict(labels or {}),
            check=check,
            cord=cord,
            networks={net: f"{self.networks[net]}.{self._count + 1}" for net in networks or self.new_in},
            created=self.time.now + self._count * 1e-6,
            pid=1000 + self._count,
        )
        self.containers[container.id] = container
        life(self, container)
        return container

    def start_again(self, container: PretendContainer) -> None:
        """``docker start``: another process at another address, its restarts counted from none."""
        self._count += 1
        container.pid, container.restarts = 1000 + self._count, 0
        container.networks = {net: f"{self.networks[net]}.{self._count + 1}" for net in container.networks}
        life(self, container)

    def tied(self, cord: str) -> bool:
        """Whether the cord of this directory is there."""
        return self.cords.get(cord) == "tied"

    def happened(self) -> None:
        """Docker tells of an event."""
        self.traefik.noticed(self)

    def find(self, word: str) -> PretendContainer | None:
        """A container by its whole id or its name."""
        by_name = {container.name: container for container in self.containers.values()}
        return self.containers.get(word) or by_name.get(word)

    def of(self, version: str) -> PretendContainer:
        """The newest container of a version. Raises LookupError where there is none."""
        found = [one for one in self.containers.values() if one.image == f"{self.repository}:{version}"]
        if not found:
            raise LookupError(f"{self.name} has no container of {version}")
        return found[-1]

    def traffic(self, *, every: float = 0.05, lasting: tuple[float, ...] = (0.0,), to: str = "example.com") -> Traffic:
        """Requests from now on."""
        return Traffic(self, every=every, lasting=lasting, to=to)

    @property
    def serving(self) -> str | None:
        """The version that a request would reach now, None where it would be lost."""
        _, server = self.traefik.pick("example.com", "/")
        if server is None or not server.container.accepts(self.time.now, server.port):
            return None
        return server.container.image.rpartition(":")[2]

    @property
    def running(self) -> list[str]:
        """The versions of every running container but Traefik's, oldest first."""
        alive = [one for one in self.containers.values() if one.running and one.name != "traefik"]
        return [container.image.rpartition(":")[2] for container in alive]

    def fail(self, name: str, code: int = 1, said: str = "no space left on device", times: int = 1) -> PretendHost:
        """The next ``times`` commands called ``name`` end with ``code`` and do nothing."""
        self.failing.setdefault(name, []).extend([(code, said)] * times)
        return self

    def lose_connection(self, during: str, times: int = 1) -> PretendHost:
        """The connection breaks while a command called ``during`` runs."""
        self.losing[during] = times
        return self

    def next_failure(self, command: Command) -> tuple[int, str] | None:
        """The failure that was ordered for this command, if any."""
        waiting = self.failing.get(command.name, [])
        return waiting.pop(0) if waiting else None

    def begin(self, script: Script) -> Running:
        """Starts a script, or meets the one of its journal again."""
        if script.journal is not None and script.journal in self.detached:
            return self.detached[script.journal]
        running = Running(self, script)
        self.scripts = [*(one for one in self.scripts if not one.done), running]
        if script.journal is not None:
            self.detached[script.journal] = running
        return running

    def journals(self, directory: str = "") -> list[str]:
        """The journals (in ``directory``) of scripts that have ended."""
        ended = [journal for journal, running in self.detached.items() if running.done]
        return [one for one in ended if not directory or self.path(one).startswith(f"{self.path(directory)}/")]

    def at_work(self, lock: str) -> str:
        """The run whose script holds the work file beside ``lock``; empty where none does."""
        fences = (one.script.fence for one in self.scripts if one.at_work)
        return next((fence[1] for fence in fences if fence is not None and self.path(fence[0]) == lock), "")

    def path(self, word: str) -> str:
        """A path as the login shell sees it, absolute."""
        return word if word.startswith("/") else f"{self.home}/{word}"

    def wall_clock(self) -> float:
        """Seconds since 1970, as the host's own clock says."""
        return self.clock() if self.clock is not None else self.began + self.time.now

    def proxy_answers(self) -> bool:
        """Whether Traefik runs."""
        container = self.find("traefik")
        return container is not None and container.running

    def _start_traefik(self) -> None:
        self._count += 1
        self.images[TRAEFIK] = PretendImage(id="sha256:traefik", app=App(listens_on=(80,)), tags=(TRAEFIK,))
        container = PretendContainer(
            id=f"{self._count:012x}{self._count:052x}", name="traefik", image=TRAEFIK, words=_KAMALS_WORDS,
            app=App(listens_on=(80,), exposes=(80,)),
            args=self.traefik.args, labels=CATCH_ALL, networks=dict(self.traefik.networks), pid=1000 + self._count,
        )  # fmt: skip
        self.containers[container.id] = container
        life(self, container)
