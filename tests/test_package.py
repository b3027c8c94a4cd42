"""What ``import kamalnb as kn`` gives."""

from __future__ import annotations

import pytest

import kamalnb as kn


def test_every_public_name_is_there() -> None:
    named = set(kn.__all__) - {"options"}
    assert {name: getattr(kn, name).__name__ for name in named} == {name: name for name in named}
    assert kn.options.rows > 0


def test_every_public_name_is_listed_before_it_was_used() -> None:
    assert set(kn.__all__) <= set(dir(kn))


def test_a_name_that_is_not_there_is_an_ordinary_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Deployer'"):
        _ = kn.Deployer


def test_a_pretend_fleet_boots_a_version_in_one_line() -> None:
    report = kn.pretend(hosts=3).boot("v2").wait()
    assert [(line.host, line.serving, line.replaced) for line in report.lines] == [
        ("web-1", "v2", "v1"),
        ("web-2", "v2", "v1"),
        ("web-3", "v2", "v1"),
    ]


def test_a_pretend_failure_is_an_error_that_names_the_host() -> None:
    fleet = kn.pretend(hosts=2, fail={"web-2": "never healthy"})
    with pytest.raises(kn.KamalnbError, match="web-2"):
        fleet.boot("v2").wait()
