"""Requests through the pretend proxy, each one counted: who answered, and what was lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .containers import Flight, PretendContainer
from .time import Process

if TYPE_CHECKING:
    from .host import PretendHost


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """How one request ended. ``lost`` is empty where it was answered; ``version`` is who answered."""

    began: float
    version: str
    container: str
    lost: str = ""


class Traffic:
    """A stream of requests, one every ``every`` seconds; they take ``lasting`` seconds in turn."""

    def __init__(
        self, host: PretendHost, *, every: float = 0.05, lasting: Sequence[float] = (0.0,), to: str = "example.com"
    ) -> None:
        self.answers: list[Answer] = []
        self._host = host
        self._every = every
        self._lasting = lasting
        self._to = to
        self._number = 0
        self._open = 0
        self._task = host.time.spawn(self._stream())

    @property
    def lost(self) -> list[Answer]:
        """What was not answered."""
        return [answer for answer in self.answers if answer.lost]

    @property
    def versions(self) -> list[str]:
        """Who answered, in the order in which requests began, repetitions left out."""
        found: list[str] = []
        for answer in sorted(self.answers, key=lambda one: one.began):
            if not answer.lost and found[-1:] != [answer.version]:
                found.append(answer.version)
        return found

    def end(self) -> Traffic:
        """No more requests; those on their way are waited for."""
        self._task.kill()
        while self._open and self._host.time.step():
            pass
        return self

    def _stream(self) -> Process:
        while True:
            seconds = self._lasting[self._number % len(self._lasting)]
            self._number += 1
            self._open += 1
            self._host.time.spawn(self._one(seconds))
            yield self._every

    def _one(self, seconds: float) -> Process:
        began = self._host.time.now
        flight, container, why = sent(self._host, self._to, "/")
        if flight is not None and container is not None:
            yield seconds + container.app.answers_in
            why = flight.lost
            landed(self._host, container, flight)
        self._open -= 1
        who = container.image.rpartition(":")[2] if container else ""
        self.answers.append(Answer(began=began, version=who, container=container.name if container else "", lost=why))


def sent(
    host: PretendHost, to: str, path: str, held: bool = False
) -> tuple[Flight | None, PretendContainer | None, str]:
    """Sends one request through the proxy: its flight, the container that has it, or why it is lost already."""
    if not host.proxy_answers():
        return None, None, "refused: no Traefik runs"
    route, server = host.traefik.pick(to, path)
    if route is None:
        return None, None, "404: no router"
    if server is None:
        return None, None, f"503: {route.name} has no server"
    now, container = host.time.now, server.container
    if server.address not in container.networks.values() or not container.accepts(now, server.port):
        return None, container, f"502: {container.name} does not take connections ({container.status})"
    if container.first_request is None and not path.startswith("/.kamalnb/"):  # those are rewritten to the check's path
        container.first_request = now
    container.last_contact = now
    flight = Flight(began=now, held=held)
    container.flights.append(flight)
    return flight, container, ""


def landed(host: PretendHost, container: PretendContainer, flight: Flight) -> None:
    """The request is over; the proxy keeps its connection a while."""
    flight.ended = True
    container.flights.remove(flight)
    container.last_contact = host.time.now
