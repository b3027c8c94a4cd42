"""Nothing of a run stays in ``runs/`` on a host: it takes its journals away, and the next one those of the dead."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from boots import booted, config, plan, serving
from changes import change, on_host

from kamalnb.commands import cord
from kamalnb.events import RunFinished
from kamalnb.fleet import Fleet, Rollout
from kamalnb.flow import Flow
from kamalnb.flows import proxying
from kamalnb.flows.stopping import stopped
from kamalnb.plan import Plan
from kamalnb.rollout import Done, finishing
from kamalnb.script import Script, Section
from kamalnb.testing import PretendFleet, PretendHost, drive_on, pretend

LATEST = "registry.example/app:latest"


def hosts_of(fleet: Fleet) -> dict[str, PretendHost]:
    assert fleet.connect is not None
    executor = fleet.connect(None)  # type: ignore[arg-type]
    assert isinstance(executor, PretendFleet)
    return executor.hosts


def haunted(host: PretendHost) -> None:
    """A run that died left a journal there; its script has ended."""
    host.begin(Script(sections=(Section(steps=(cord.cut("x"),)),), journal=f"{host.home}/.kamal/runs/dead"))
    host.time.pass_by(1.0)
    assert host.journals()


def journals(fleet: Fleet) -> dict[str, list[str]]:
    return {name: host.journals() for name, host in hosts_of(fleet).items()}


def ended(run: Rollout) -> str:
    told = tuple(run)
    assert isinstance(told[-1], RunFinished)
    assert told[-1].ok, told[-1].sentence
    return told[-1].sentence


NONE = {"web-1": [], "web-2": []}


def test_boot_leaves_none_also_where_there_was_nothing_left_to_boot() -> None:
    """A boot whose controller died: on web-1 the host went on to the end, web-2 it never reached."""
    fleet = pretend(2)
    ended(fleet.boot("v2"))
    ended(fleet["web-1"].boot("v3"))
    host = hosts_of(fleet)["web-1"]
    haunted(host)
    host.images[LATEST] = host.images["registry.example/app:v2"]
    assert "v3 serves on web-2" in ended(fleet.boot("v3"))
    assert journals(fleet) == NONE
    assert "registry.example/app:v3" in host.images[LATEST].tags, "and the newest image is called that there too"


@pytest.mark.parametrize("verb", ["rollback", "undo"])
def test_way_back_leaves_none(verb: str) -> None:
    fleet = pretend(2)
    ended(fleet.boot("v2"))
    ended(fleet.boot("v3"))
    haunted(hosts_of(fleet)["web-1"])
    ended(fleet.undo() if verb == "undo" else fleet.rollback("v2"))
    assert journals(fleet) == NONE


def test_rollback_that_finds_nothing_to_do_takes_away_what_a_dead_one_left() -> None:
    fleet = pretend(2)
    ended(fleet.boot("v2"))
    haunted(hosts_of(fleet)["web-2"])
    assert ended(fleet.rollback("v2")) == "v2 serves everywhere already; nothing to do."
    assert journals(fleet) == NONE


LOOSE = "/home/deploy/.kamal/cords/app-web-" + "5" * 32
"""A cord of no container: the boot that made it died before it started one."""


def test_boot_takes_the_cord_of_a_dead_one_away_also_where_it_passes_over() -> None:
    fleet = pretend(2)
    ended(fleet.boot("v2"))
    ended(fleet["web-1"].boot("v3"))
    cords = hosts_of(fleet)["web-1"].cords
    before = dict(cords)
    cords[LOOSE] = "cut"
    assert "v3 serves on web-2" in ended(fleet.boot("v3"))
    assert cords == before


def test_rollback_that_finds_nothing_to_do_takes_the_cord_of_a_dead_boot_away() -> None:
    fleet = pretend(2)
    ended(fleet.boot("v2"))
    cords = hosts_of(fleet)["web-1"].cords
    before = dict(cords)
    cords[LOOSE] = "cut"
    assert ended(fleet.rollback("v2")) == "v2 serves everywhere already; nothing to do."
    assert cords == before


def test_rollback_that_finds_nothing_at_all_to_do_changes_nothing() -> None:
    fleet = pretend(2)
    ended(fleet.boot("v2"))
    before = {name: len(host.did) for name, host in hosts_of(fleet).items()}
    ended(fleet.rollback("v2"))
    assert {name: len(host.did) for name, host in hosts_of(fleet).items()} == before


def test_rollback_with_nothing_to_do_is_none_that_fails_where_somebody_else_deploys() -> None:
    fleet = pretend(2)
    ended(fleet.boot("v2"))
    host = hosts_of(fleet)["web-1"]
    haunted(host)
    host.files[host.path(".kamal/kamalnb-app.held")] = "a person"
    assert ended(fleet.rollback("v2")) == "v2 serves everywhere already; nothing to do."


def test_run_that_lost_its_lock_takes_its_own_away_and_no_other() -> None:
    host = serving("v1")
    boots = (plan("v2", fence=(".kamal/kamalnb-app.lock", "mine")),)
    host.files[host.path(".kamal/kamalnb-app.lock")] = "mine"
    assert booted(host, "v2", nonce=boots[0].nonce, fence=boots[0].fence).error is None
    haunted(host)
    host.files[host.path(".kamal/kamalnb-app.lock")] = ""
    own = f"{host.home}/.kamal/runs/{boots[0].nonce}"
    assert own in host.journals()
    fleet_flow = finishing(Plan(config=config(), version="v2", batches=(("web-1",),), boots=boots, run_id="r"))
    (tag,) = next(fleet_flow).jobs  # type: ignore[union-attr]
    assert drive_on(host, tag.flow).error is not None
    assert own not in host.journals()
    assert f"{host.home}/.kamal/runs/dead" in host.journals()


@pytest.mark.parametrize("version", ["not-there", "exits"])
def test_boot_that_fails_leaves_none(version: str) -> None:
    host = serving("v1")
    haunted(host)
    assert booted(host, version).error is not None
    assert host.journals() == []


CHANGES: dict[str, Callable[[], Flow[Done]]] = {
    "restart of Traefik": lambda: proxying.restart(proxying.on_host(on_host())),
    "stop": lambda: stopped(change()),
}


@pytest.mark.parametrize("name", CHANGES)
def test_other_changes_leave_none(name: str) -> None:
    host = serving("v1")
    haunted(host)
    assert drive_on(host, CHANGES[name]()).error is None
    assert host.journals() == []


def test_rollback_that_waited_and_finds_nothing_to_do_leaves_none() -> None:
    """The dead run's script went on to the end while this run waited for it: what it left goes."""
    fleet = pretend(1)
    ended(fleet.boot("v2"))
    host = hosts_of(fleet)["web-1"]
    lock = host.path(".kamal/kamalnb-app.lock")
    host.files[lock] = "feed0123feed0123\nana since noon: boot v3\n"
    waiting = fleet.rollback("v3", lock_wait=20.0)
    for event in waiting:
        if "waiting for the lock" in str(event.as_dict()):
            host.files[lock] = ""
            ended(fleet.boot("v3"))
            haunted(host)
    assert waiting.report.finished is not None
    assert waiting.report.finished.sentence == "v3 serves everywhere by now; nothing to do."
    assert host.journals() == []
