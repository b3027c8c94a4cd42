"""One fault at one command of a boot on a real host under load: what is then true, what is said of it, and the same
boot once more.

Commands and directions come from two boots that went well. The usual tests try a few named ones, the thorough one
KAMALNB_FAULTS (40) of them, as many of each kind of fault and spread over the commands; KAMALNB_SEED chooses which.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from dataclasses import dataclass, replace

import pytest
from anywhere import LONG, converges, in_turn, ready_for, used, wrong
from conftest import MakeShop
from shop import NO_WEBSOCKET, Shop, assert_nothing_lost
from wire import FAULTS, Step, Wire

from kamalnb.events import HostFailed, Phase
from kamalnb.lab.load import RunningLoad
from kamalnb.project import Project
from kamalnb.report import Report
from kamalnb.ssh import SshExecutor
from kamalnb.wording import ending

HOSTS = ("web-1", "web-2")
MANY = int(os.environ.get("KAMALNB_FAULTS", "40"))
TAKEN_BACK = "taken back after its switch"
SEED = int(os.environ.get("KAMALNB_SEED", "5"))


@dataclass(frozen=True)
class Case:
    """A fault at a command (its number and name) of a boot that switches ``up`` or ``down``."""

    fault: str
    way: str
    at: int | str
    name: str

    def __str__(self) -> str:
        return f"{self.way}: {self.fault}: “{self.name}” ({self.at})"


@dataclass(frozen=True)
class Tried:
    """How a boot with a fault ended."""

    report: Report
    wire: Wire

    @property
    def ok(self) -> bool:
        return self.report.ok

    @property
    def failure(self) -> HostFailed | None:
        """None too where it was refused before it came to the host's boot."""
        return next(iter(self.report.failures), None)

    @property
    def outcome(self) -> str:
        if self.ok:
            return "booted all the same"
        return f"failed: {self.failure.serving}" if self.failure and self.failure.phase else "refused before any change"

    @property
    def text(self) -> str:
        """What people read at its end."""
        return "\n".join(line.text for line in ending(self.report))


def booted(shop: Shop, version: str, wire: Wire | None = None) -> Tried:
    """Boots over ``wire``."""
    wires: list[Wire] = []

    def connect(project: Project) -> Wire:
        inner = SshExecutor(project.config.ssh, secrets=project.secret, directory=project.root)
        wires.append(replace(wire or Wire(inner, shop.lab), inner=inner))
        return wires[-1]

    rollout = replace(shop.fleet(), connect=connect).boot(version)
    for _event in rollout:
        pass
    return Tried(rollout.report, wires[-1])


def steps(shop: Shop, way: str) -> list[tuple[str, Step]]:
    """Every command of a boot that goes well, this way."""
    _old, new = ready_for(shop, *shop.hosts, way)
    tried = booted(shop, new)
    assert tried.ok, tried.text
    assert len(tried.wire.steps) > 20
    return [(way, step) for step in tried.wire.steps]


def sample(
    found: list[tuple[str, Step]], many: int, chance: random.Random, faults: tuple[str, ...] = tuple(FAULTS)
) -> list[Case]:
    """As many of each fault, each from another stretch of the commands."""
    each = -(-many // len(faults))
    length = len(found) / each
    cases = []
    for fault in faults:
        for number in range(each):
            way, step = found[int(length * (number + chance.random()))]
            cases.append(Case(fault, way, step.number, step.name))
    return cases


def unclear(tried: Tried, host: str, old: str, new: str, served: str) -> str:
    """What the last words lack, or say that is not so; empty where they tell host, phase, truth and way out."""
    if tried.ok:
        return "" if served == new else f"it says that all is well, and {served} answers"
    failure = tried.failure
    if failure is None or failure.phase is None:
        lacking = [word for word in ("Nothing was changed", host) if word not in tried.text]
        truth = served == old
    else:
        wanted = (f"✗ web on {host} failed in {failure.phase}: ", "    serving now: ", "    next: ")
        lacking = [word for word in wanted if word not in tried.text]
        said = [version for version in (old, new) if failure.serving.startswith(f"{version} serves")]
        either = failure.serving.startswith(f"Either {new} or {old} serves")
        truth = said == [served] or either or (failure.serving.startswith("Nothing was changed") and served == old)
    if lacking:
        return f"it does not say {lacking}"
    return "" if truth else f"what it says is not so: {served} answers"


def taken_back(tried: Tried) -> bool:
    """Whether the new version had answered before it failed: then an older version answers after a newer one."""
    return tried.failure is not None and tried.failure.phase in (Phase.SOAK, Phase.COMMIT, Phase.DRAIN)


def trouble(shop: Shop, load: RunningLoad, case: Case, outcomes: Counter[str]) -> str:
    """What came of the fault that must not; empty where all is well."""
    (host,) = shop.hosts
    old = new = "?"
    try:
        old, new = ready_for(shop, host, case.way)
        load.stage(str(case), order=(old, new))
        tried = booted(shop, new, Wire(None, shop.lab, case.fault, case.at))  # type: ignore[arg-type]
        assert tried.wire.happened == case.name, f"the fault struck “{tried.wire.happened}”"
        served = shop.version_at(host)
        outcomes[f"{case.fault}: {tried.outcome}".replace(old, "OLD").replace(new, "NEW")] += 1
        outcomes[TAKEN_BACK] += taken_back(tried)
        print(f"{case}: {tried.outcome if tried.ok else tried.text}", flush=True)
        assert served in (old, new), f"“{served}” answers"
        assert not (told := unclear(tried, host, old, new, served)), told
        converges(shop, host, old, new, loose_cords=case.fault == "late")
    except AssertionError as error:
        print(told := f"{case}: {error}; {wrong(shop, host, new)}", flush=True)
        return told
    return ""


@pytest.mark.thorough
@pytest.mark.timeout(5400)
@pytest.mark.parametrize("host", HOSTS)
def test_any_fault_at_any_command(make_shop: MakeShop, host: str) -> None:
    shop = make_shop(f"faulty-{host}", (host,), min_healthy=1)
    used(shop)
    cases = sample([*steps(shop, "up"), *steps(shop, "down")], MANY, random.Random(SEED))[HOSTS.index(host) :: 2]
    in_order = in_turn(*([case for case in cases if case.way == way] for way in ("up", "down")))
    outcomes = Counter[str]()
    with shop.load(LONG) as load:
        troubles = [told for case in in_order if (told := trouble(shop, load, case, outcomes))]
        load.stop()
    tally = load.compare_orders(shop.orders())
    print(f"{host}: {len(cases)} faults, {len(troubles)} not as they must be; {tally.sentence}")
    print("\n".join(f"{many} × {told}" for told, many in sorted(outcomes.items())))
    assert troubles == []
    if outcomes[TAKEN_BACK]:
        tally = replace(tally, by_host=tuple(replace(one, mixed=0) for one in tally.by_host))
    assert_nothing_lost(tally)


@pytest.fixture(scope="module")
def shop(make_shop: MakeShop) -> Shop:
    made = make_shop("faulty", HOSTS[:1], min_healthy=1)
    made.must_boot("v1")
    return made


@pytest.mark.parametrize(
    ("fault", "way", "name"),
    [("reply lost", "up", "start container"), ("late", "down", "start container"), ("half run", "up", "tie cord")],
)
def test_the_worst_faults(shop: Shop, fault: str, way: str, name: str) -> None:
    with shop.load(NO_WEBSOCKET) as load:
        told = trouble(shop, load, Case(fault, way, name, name), Counter())
        load.stop()
    assert told == ""
    assert_nothing_lost(load.compare_orders(shop.orders()))
