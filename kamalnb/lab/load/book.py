"""The account: takes each record as its request ends, and can say at any time how things stand.

``Book`` is written by the load's thread and read by any other, under one lock. It keeps running sums, so that
a tally costs the same after a minute as after an hour.
"""

from __future__ import annotations

import math
import threading
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from time import thread_time

from .values import HostTally, Kind, Loss, Mark, Orders, Outcome, Record, Row, Tally

SHOWN = 20  # losses and ids that a tally names
STEP = math.log(1.02)  # latencies are kept in buckets 2 % wide, so a percentile is right to 1 %
QUICK = (Kind.NEW, Kind.KEEPALIVE, Kind.POST)


@dataclass(slots=True)
class Latency:
    """How long answers took, in buckets."""

    buckets: Counter[int] = field(default_factory=Counter)
    longest: float = 0.0

    def add(self, seconds: float) -> None:
        self.buckets[round(math.log(max(seconds, 1e-6)) / STEP)] += 1
        self.longest = max(self.longest, seconds)

    def percentile(self, share: float) -> float:
        """The time that ``share`` of the answers stayed within; 0 when there are none."""
        wanted = share * self.buckets.total()
        for bucket, count in sorted(self.buckets.items()):
            wanted -= count
            if wanted <= 1e-9:
                return min(math.exp(bucket * STEP), self.longest)
        return self.longest

    @staticmethod
    def merged(parts: Iterable[Latency]) -> Latency:
        whole = Latency()
        for part in parts:
            whole.buckets.update(part.buckets)
            whole.longest = max(whole.longest, part.longest)
        return whole


@dataclass(slots=True)
class Span:
    """When one version answered: first and last start of a request, first end of an answer."""

    first_start: float
    last_start: float
    first_end: float


@dataclass(slots=True)
class Stage:
    """A stretch of time with one order of versions; an undo begins a new one."""

    began: float
    order: tuple[str, ...]
    spans: dict[str, dict[str, Span]] = field(default_factory=dict)  # by host, then version in order of first answer
    went_back: dict[str, float] = field(default_factory=dict)  # by host: seconds of mixed answers

    def add(self, record: Record, version: str) -> bool:
        """Takes an answer in; true when it went back (``HostTally`` defines that)."""
        spans = self.spans.setdefault(record.host, {})
        span = spans.setdefault(version, Span(record.start, record.start, record.end))
        span.first_start = min(span.first_start, record.start)
        span.last_start = max(span.last_start, record.start)
        newer = self.newer(version, spans)
        since = min((spans[other].first_end for other in newer), default=math.inf)
        if record.start <= since:
            return False
        self.went_back[record.host] = max(self.went_back.get(record.host, 0.0), record.start - since)
        return True

    def newer(self, version: str, seen: Iterable[str]) -> list[str]:
        ranked = [*self.order, *(other for other in seen if other not in self.order)]
        later = set(ranked[ranked.index(version) + 1 :])
        return [other for other in seen if other in later]

    def overlap(self, host: str) -> float:
        spans = self.spans.get(host, {})
        pairs = ((old, new) for old in spans for new in self.newer(old, spans))
        return max((spans[old].last_start - spans[new].first_start for old, new in pairs), default=0.0)


@dataclass(slots=True)
class Line:
    """One kind on one host."""

    requests: int = 0
    lost: int = 0
    latency: Latency = field(default_factory=Latency)


class Book:
    """Every record, and what they add up to."""

    def __init__(self, hosts: Sequence[str], order: Sequence[str] = ()) -> None:
        self.lock = threading.Lock()
        self.hosts = tuple(hosts)
        self.began = 0.0
        self.ended_at: float | None = None
        self.ended = ""
        self.started = 0
        self.records: list[Record] = []
        self.marks: list[Mark] = []
        self.losses: list[Loss] = []
        self.lines: dict[tuple[str, Kind], Line] = {}
        self.stages = [Stage(-math.inf, tuple(order))]
        self.answers: dict[str, Counter[str]] = {host: Counter() for host in hosts}
        self.versions: dict[str, None] = {}
        self.mixed: Counter[str] = Counter()
        self.orders: dict[str, bool] = {}  # id: was it answered
        self.doubled: dict[str, None] = {}
        self.counts: Counter[str] = Counter()  # reopened, skipped, echoes and the like
        self.cpu = 0.0
        self.cpu_began = 0.0

    def add(self, record: Record) -> None:
        with self.lock:
            self.records.append(record)
            self.cpu = thread_time() - self.cpu_began
            line = self.lines.setdefault((record.host, record.kind), Line())
            line.requests += 1
            if record.outcome is not Outcome.OK:
                line.lost += 1
                self.lose(record)
            elif record.kind is not Kind.WEBSOCKET:
                line.latency.add(record.end - record.start)
            if record.version is not None:
                self.place(record, record.version)

    def start(self) -> None:
        """A request begins."""
        self.started += 1

    def send_order(self, order: str) -> None:
        with self.lock:
            self.orders[order] = False

    def answer_order(self, order: str, seen: int) -> None:
        """The order was answered with success; its process says that it has ``seen`` it so many times."""
        with self.lock:
            self.orders[order] = True
            self.counts["orders answered"] += 1
            if seen > 1:
                self.doubled.setdefault(order)

    def lose(self, record: Record) -> None:
        if len(self.losses) < SHOWN:
            at = record.start - self.began
            kind, outcome = record.kind, record.outcome
            self.losses.append(Loss(at=at, host=record.host, kind=kind, outcome=outcome, reason=record.reason))

    def place(self, record: Record, version: str) -> None:
        self.versions.setdefault(version)
        self.answers[record.host][version] += 1
        stage = self.stages[bisect_right(self.stages, record.start, key=lambda stage: stage.began) - 1]
        self.mixed[record.host] += stage.add(record, version)

    def count(self, what: str, number: int = 1) -> None:
        with self.lock:
            self.counts[what] += number

    def mark(self, now: float, label: str) -> Mark:
        mark = Mark(at=now - self.began, label=label)
        with self.lock:
            self.marks.append(mark)
        return mark

    def stage(self, now: float, order: Sequence[str]) -> None:
        with self.lock:
            self.stages.append(Stage(now, tuple(order)))

    def tally(self, now: float) -> Tally:
        """How things stand ``now``, a reading of the monotonic clock."""
        with self.lock:
            latency = Latency.merged(line.latency for (_, kind), line in self.lines.items() if kind in QUICK)
            seconds = max((self.ended_at or now) - self.began, 0.0) if self.began else 0.0
            return Tally(
                seconds=seconds,
                requests=sum(line.requests for line in self.lines.values()),
                in_flight=self.started - len(self.records),
                lost=sum(line.lost for line in self.lines.values()),
                lost_by_kind={kind: self.sum_lost(kind) for kind in Kind},
                by_host=tuple(self.host_tally(host) for host in self.hosts),
                rows=tuple(self.row(host, kind) for host in self.hosts for kind in Kind if (host, kind) in self.lines),
                versions=tuple(self.versions),
                latency_p50=latency.percentile(0.5),
                latency_p99=latency.percentile(0.99),
                latency_max=latency.longest,
                losses=tuple(self.losses),
                marks=tuple(self.marks),
                orders=self.count_orders(),
                reopened=self.counts["reopened"],
                skipped=self.counts["skipped"],
                websockets_opened=self.counts["websockets opened"],
                websockets_closed=self.counts["websockets closed"],
                echoes=self.counts["echoes"],
                echoes_unanswered=self.counts["echoes unanswered"],
                cpu=self.cpu / seconds if seconds else 0.0,
                ended=self.ended,
            )

    def sum_lost(self, kind: Kind) -> int:
        return sum(line.lost for (_, its_kind), line in self.lines.items() if its_kind is kind)

    def row(self, host: str, kind: Kind) -> Row:
        line = self.lines[host, kind]
        p50, p99 = line.latency.percentile(0.5), line.latency.percentile(0.99)
        longest = line.latency.longest
        return Row(host=host, kind=kind, requests=line.requests, lost=line.lost, p50=p50, p99=p99, max=longest)

    def host_tally(self, host: str) -> HostTally:
        lines = [line for (its_host, _), line in self.lines.items() if its_host == host]
        return HostTally(
            host=host,
            requests=sum(line.requests for line in lines),
            lost=sum(line.lost for line in lines),
            versions=tuple(self.answers[host]),
            answers=tuple(self.answers[host].items()),
            mixed=self.mixed[host],
            mixed_seconds=max(stage.went_back.get(host, 0.0) for stage in self.stages),
            overlap_seconds=max(0.0, *(stage.overlap(host) for stage in self.stages)),
        )

    def count_orders(self) -> Orders:
        return Orders(
            sent=len(self.orders),
            answered=self.counts["orders answered"],
            doubled_count=len(self.doubled),
            doubled=tuple(self.doubled)[:SHOWN],
        )

    def compare(self, counted: Mapping[str, int], tally: Tally) -> Tally:
        """``tally`` with its orders set against what the servers counted; ids that are not ours are passed over."""
        with self.lock:
            doubled = dict(self.doubled) | {order: None for order in self.orders if counted.get(order, 0) > 1}
            missing = [order for order, answered in self.orders.items() if answered and not counted.get(order)]
            unanswered = sum(1 for order, answered in self.orders.items() if not answered and counted.get(order))
        orders = replace(
            tally.orders,
            compared=True,
            doubled_count=len(doubled),
            missing_count=len(missing),
            unanswered=unanswered,
            doubled=tuple(doubled)[:SHOWN],
            missing=tuple(missing[:SHOWN]),
        )
        return replace(tally, orders=orders)
