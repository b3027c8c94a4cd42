"""Cancelled from a cell in mid-rollout, on real hosts under load: the old version serves, and nobody noticed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import MakeShop
from kernel import Kernel, kernel
from shop import CALM, Shop, assert_nothing_lost

from kamalnb.notebook.record import MIME

pytestmark = [pytest.mark.thorough, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def shop(make_shop: MakeShop) -> Shop:
    shop = make_shop("cellcancel")
    shop.must_boot("v1")
    return shop


@pytest.fixture
def cells(shop: Shop, tmp_path: Path) -> Iterator[Kernel]:
    """A kernel with the fleet in it, and a boot of the slow version that asks its app already."""
    env = {**os.environ, "XDG_STATE_HOME": str(tmp_path), "IPYTHONDIR": str(tmp_path), "KAMALNB_PERFORMER": "ana"}
    with kernel(tmp_path, env) as cells:
        cells.run(f"import kamalnb as kn, time\nfleet = kn.Fleet(config_file={str(shop.config())!r})")
        yield cells


def begin(cells: Kernel) -> None:
    """Boots; returns when every host is in the middle of it."""
    cells.run("run = fleet.plan('slow').boot(confirm='web@slow')")
    reached = "set(run.events.host[run.events.phase == 'verify']) == {'web-1', 'web-2'}"
    told = cells.run(f"while not ({reached}) and not run.history.ended: time.sleep(0.1)\nprint(run.state)")
    assert told.strip() == "running"


def by_method(cells: Kernel) -> None:
    cells.run("run.cancel()")
    assert cells.run("report = run.wait(check=False)\nprint(run.state, report.ok)").split() == ["stopped", "False"]


def by_interrupt(cells: Kernel) -> None:
    waiting = cells.start("print('waiting')\nrun.wait()")
    cells.says(waiting, "waiting")
    cells.interrupt()
    cells.ended(waiting)
    assert cells.errors[waiting].startswith("RolloutFailed")
    assert cells.run("print(run.state)").strip() == "stopped"


@pytest.mark.parametrize("cancel", [by_method, by_interrupt], ids=["by method", "by interrupt"])
def test_cancelled_in_mid_rollout_the_old_version_serves_and_nothing_is_lost(
    shop: Shop, cells: Kernel, cancel: object
) -> None:
    before = [shop.standing(host).running for host in shop.hosts]
    with shop.load(CALM) as load:
        begin(cells)
        cancel(cells)  # type: ignore[operator]
        tally = load.stop()
    assert_nothing_lost(tally)
    assert tally.versions == ("v1",)
    assert [shop.version_at(host) for host in shop.hosts] == ["v1", "v1"]
    assert [shop.standing(host).running for host in shop.hosts] == before  # the slow one is gone
    assert set(shop.fleet().lock()["status"].astype(str)) <= {"free", "unlocked"}
    record = cells.shows("stopped")  # what stays in the cell of the rollout
    assert "slow serves nowhere" in record["text/plain"]
    assert "cancelled by a person" in record["text/html"]
    facts = record[MIME]
    assert (facts["ok"], facts["exit_code"], facts["version"]) == (False, 130, "slow")
    assert "application/vnd.jupyter.widget-view+json" not in record


def test_cancelled_between_two_hosts_the_first_keeps_the_new_version_and_nothing_is_lost(
    shop: Shop, cells: Kernel
) -> None:
    cells.run(f"one = kn.Fleet(config_file={str(shop.config(boot={'limit': 1}))!r})")
    with shop.load(CALM) as load:
        load.stage("boot", order=("v1", "v2"))
        cells.run("run = one.plan('v2').boot(confirm='web@v2')")
        cells.run("while not (run.events.event == 'HostBooted').any() and not run.history.ended: time.sleep(0.05)")
        cells.run("run.cancel()\nrun.wait(check=False)")
        serving = [shop.version_at(host) for host in shop.hosts]
        load.stage("undo", order=("v2", "v1"))
        cells.run("back = fleet['web-1'].undo(confirm='web@v1')\nback.wait()")
        tally = load.stop()
    assert_nothing_lost(tally)
    assert serving == ["v2", "v1"]
    assert [shop.version_at(host) for host in shop.hosts] == ["v1", "v1"]
