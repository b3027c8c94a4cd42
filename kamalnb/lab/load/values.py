"""What the load client takes and gives: all values, nothing here does I/O.

Times are monotonic seconds; what people read (``Loss.at``, ``Mark.at``) counts from the start of the load.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum

from ...errors import LabError


class Kind(StrEnum):
    """The kinds of traffic."""

    NEW = "new"  # one connection for each request
    KEEPALIVE = "keepalive"  # kept connections
    POST = "post"  # orders with unique ids, on kept connections
    SLOW = "slow"  # requests that take seconds, always some in flight
    WEBSOCKET = "websocket"  # a handshake, or a WebSocket that broke off


class Outcome(StrEnum):
    """How a request ended; all but ``OK`` are losses."""

    OK = "ok"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    RESET = "reset"
    CLOSED = "closed"
    TIMEOUT = "timeout"
    BAD_STATUS = "bad status"
    MALFORMED = "malformed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """How much traffic of which kind, and where it ends. About 150 requests a second as it stands.

    Rates are requests a second over **all** hosts together; ``connections``, ``slow`` and ``websockets``
    count for **each** host. A rate or count of 0 leaves that kind out. ``LabError`` for a value out of bounds.
    """

    new: float = 50
    keepalive: float = 70
    post: float = 28
    connections: int = 4  # kept connections a host for ``keepalive``; ``post`` has two of its own
    slow: int = 2  # requests in flight at any time
    slow_seconds: float = 3.0
    websockets: int = 1
    echo_every: float = 0.2
    timeout: float = 10.0  # seconds from the start of a request to the last byte of its answer
    max_requests: int = 200_000
    max_seconds: float = 900.0

    def __post_init__(self) -> None:
        for field in fields(self):
            if getattr(self, field.name) < 0:
                raise LabError(f"The load's {field.name} is negative. Give 0 or more.")
        if self.new + self.keepalive + self.post > MAX_RATE:
            raise LabError(f"The load would send more than {MAX_RATE} requests a second. Ask for less.")
        if not (0 < self.timeout <= 300 and 0 < self.max_seconds <= 86_400 and self.echo_every > 0):
            raise LabError("The load needs a timeout up to 300 s and an end within a day. Correct its profile.")
        if self.slow and self.slow_seconds >= self.timeout:
            raise LabError("The load's slow requests would all time out. Raise timeout above slow_seconds.")

    @classmethod
    def at(cls, rate: float, *, seconds: float = 900.0) -> Profile:
        """The usual mixture at ``rate`` requests a second, for at most ``seconds``."""
        return cls(new=rate / 3, keepalive=rate / 2, post=rate / 6, max_seconds=seconds)


MAX_RATE = 2000


@dataclass(frozen=True, slots=True)
class Record:
    """One request. ``start`` is taken before connecting, ``end`` after the answer's last byte."""

    host: str
    kind: Kind
    start: float
    end: float
    status: int | None
    version: str | None
    connection: int
    outcome: Outcome
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """A request that was lost: why, where, and when it was sent (seconds since the load began)."""

    at: float
    host: str
    kind: Kind
    outcome: Outcome
    reason: str

    def __str__(self) -> str:
        return f"{self.at:.3f} s  {self.host}  {self.kind}: {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """An instant that somebody named, in seconds since the load began."""

    at: float
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One kind of traffic on one host. Seconds; p50 and p99 are right to 1 %, over answered requests."""

    host: str
    kind: Kind
    requests: int
    lost: int
    p50: float
    p99: float
    max: float


@dataclass(frozen=True, slots=True, kw_only=True)
class HostTally:
    """One host's share.

    ``versions`` in the order of their first answer here. ``mixed`` counts the answers that went back: an answer
    of an older version to a request that *started after* a newer version's answer had already *ended*. Which of two
    versions is newer says the order given to the load, else their first answers on this host. So concurrent
    requests never count, however they overtake each other, and each count is a real step back for some client.
    ``mixed_seconds`` runs from the newer version's first answer to the start of the last request that went back.
    ``overlap_seconds`` is the looser figure, by start order alone: from the start of the first request that the newer
    version answered to the start of the last one that an older version answered; requests that overtake each
    other on the way make it a few milliseconds even when the switch is one instant.
    """

    host: str
    requests: int
    lost: int
    versions: tuple[str, ...]
    answers: tuple[tuple[str, int], ...]  # (version, how many answers)
    mixed: int
    mixed_seconds: float
    overlap_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """POST ids counted at both ends.

    ``doubled`` and ``missing`` hold at most 20 ids each, their counts are exact. Until ``compared`` is true,
    doubled ones are only those that one process saw twice, and nothing is known about missing ones.
    ``missing``: answered with success, yet the server has not counted it. ``unanswered``: counted by the server
    while the client lost its answer (such a request is in ``Tally.lost`` already).
    """

    sent: int = 0
    answered: int = 0
    compared: bool = False
    doubled_count: int = 0
    missing_count: int = 0
    unanswered: int = 0
    doubled: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """“300 orders, doubled 0, missing 0”."""
        missing = f"missing {self.missing_count:,}" if self.compared else "not compared"
        return f"{self.sent:,} orders, doubled {self.doubled_count:,}, {missing}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """The account so far, or the final one. ``seconds`` ends with the last request that was sent.

    ``requests`` have ended; ``in_flight`` have not. ``lost`` counts every outcome but ``OK``, among them WebSockets
    that broke off without a close frame (``lost_by_kind`` tells them apart). ``latency_*`` are of ``new``,
    ``keepalive`` and ``post`` together, in seconds. ``reopened`` counts kept connections that the server had closed
    between two requests (no loss). ``echoes_unanswered`` were under way when a server closed its WebSocket with a
    frame (no loss either). ``skipped`` were due but not sent, because 256 others were waiting on that host.
    ``cpu`` is the share of one core that the load's thread used. ``ended`` names the bound that ended the load.
    """

    seconds: float
    requests: int
    in_flight: int
    lost: int
    lost_by_kind: Mapping[Kind, int]
    by_host: tuple[HostTally, ...]
    rows: tuple[Row, ...]
    versions: tuple[str, ...]
    latency_p50: float
    latency_p99: float
    latency_max: float
    losses: tuple[Loss, ...]  # the first 20
    marks: tuple[Mark, ...]
    orders: Orders
    reopened: int
    skipped: int
    websockets_opened: int
    websockets_closed: int  # by the server, with a close frame
    echoes: int
    echoes_unanswered: int
    cpu: float
    ended: str = ""

    @property
    def rate(self) -> float:
        """Requests a second, over the whole time."""
        return self.requests / self.seconds if self.seconds else 0.0

    @property
    def mixed(self) -> int:
        """Answers that went back to an older version, over all hosts (see ``HostTally``)."""
        return sum(host.mixed for host in self.by_host)

    @property
    def mixed_seconds(self) -> float:
        """The longest time of mixed answers on one host."""
        return max((host.mixed_seconds for host in self.by_host), default=0.0)

    @property
    def clean(self) -> bool:
        """Something was asked, and nothing was lost, doubled, missing, mixed or left out."""
        faults = self.lost + self.mixed + self.skipped + self.orders.doubled_count + self.orders.missing_count
        return self.requests > 0 and faults == 0 and not self.ended

    @property
    def sentence(self) -> str:
        """“12,345 requests, lost 0, versions v1 → v2”, and what else went wrong."""
        seen = f"versions {' → '.join(self.versions)}" if self.versions else "no version seen"
        parts = [f"{self.requests:,} requests", f"lost {self.lost:,}", seen]
        if self.mixed:
            parts.append(f"{self.mixed:,} answered by an older version after a newer one ({self.mixed_seconds:.2f} s)")
        if self.orders.compared or self.orders.doubled_count:
            parts.append(self.orders.sentence)
        if self.echoes_unanswered:
            parts.append(f"{self.echoes_unanswered:,} WebSocket echoes under way at a close")
        if self.skipped:
            parts.append(f"{self.skipped:,} not sent (too many waiting)")
        if self.ended:
            parts.append(f"ended early at {self.ended}")
        return ", ".join(parts)
