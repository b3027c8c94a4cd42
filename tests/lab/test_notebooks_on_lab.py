"""The notebooks that ship, run by nobody on real hosts. What the hosts then show counts, not what was printed."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
from runbooks import Ran, run, run_and_signal
from shop import Shop

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


@pytest.fixture(scope="module")
def shop(make_shop: object) -> Shop:
    made: Shop = make_shop("runbooks")  # type: ignore[operator]
    return made


def play(shop: Shop, name: str, *given: str, **how: object) -> Ran:
    file = shop.config()
    given = (*given, f"config_file={file}")
    return run(file.parents[1], str(NOTEBOOKS / f"{name}.ipynb"), *given, out=str(file.parents[1]), **how)


def serving(shop: Shop) -> list[str]:
    return [shop.version_at(host) for host in shop.hosts]


def test_exploring_changes_nothing(shop: Shop) -> None:
    shop.must_boot("v1")
    before = [shop.standing(host) for host in shop.hosts]
    ran = play(shop, "01_explore")
    assert ran.code == 0, ran.err
    assert [shop.standing(host) for host in shop.hosts] == before
    assert "web-1" in ran.text


def test_a_careful_rollout_serves_the_new_version_everywhere(shop: Shop) -> None:
    shop.must_boot("v1")
    ran = play(shop, "02_careful_rollout", "version=v2", confirm="web@v2")
    assert ran.code == 0, ran.err
    assert serving(shop) == ["v2", "v2"]
    assert ran.about["parameters"]["version"] == "v2"


def test_a_dry_run_of_the_rollout_leaves_the_hosts_alone(shop: Shop) -> None:
    shop.must_boot("v1")
    ran = play(shop, "02_careful_rollout", "version=v2", dry_run=True)
    assert ran.code == 0, ran.err
    assert serving(shop) == ["v1", "v1"]


def test_a_rollback_brings_the_old_version_back(shop: Shop) -> None:
    shop.must_boot("v1")
    shop.must_boot("v2")
    ran = play(shop, "rollback", "version=v1", confirm="web@v1")
    assert ran.code == 0, ran.err
    assert serving(shop) == ["v1", "v1"]


def test_an_incident_is_looked_into_first_and_undone_when_confirmed(shop: Shop) -> None:
    shop.must_boot("v1")
    shop.must_boot("v2")
    looked = play(shop, "incident", dry_run=True)
    assert looked.code == 0, looked.err
    assert serving(shop) == ["v2", "v2"]
    undone = play(shop, "incident", confirm="web@v1")
    assert undone.code == 0, undone.err
    assert serving(shop) == ["v1", "v1"]


def test_sigterm_in_the_middle_of_a_boot_leaves_the_old_version_and_a_record(shop: Shop, tmp_path: Path) -> None:
    shop.must_boot("v1")
    file, out = shop.config(), tmp_path / "out.ipynb"
    code, told = run_and_signal(
        file.parents[1], str(NOTEBOOKS / "02_careful_rollout.ipynb"), "version=slow", f"config_file={file}",
        at=lambda one: one["event"] == "RolloutProgressed", send=signal.SIGTERM, confirm="web@slow", out=str(out),
    )  # fmt: skip
    assert code == 143, told
    assert serving(shop) == ["v1", "v1"]
    for host in shop.hosts:
        assert [name for name in shop.standing(host).running if "slow" in name] == []
    assert json.loads(out.read_text())["metadata"]["kamalnb"]["exit"] == 143
    assert set(shop.fleet().lock()["status"].astype(str)) <= {"free", "unlocked"}
