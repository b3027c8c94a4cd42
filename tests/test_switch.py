"""The switch as a script: what happens in which order on the host, and what takes it back there."""

from __future__ import annotations

import pytest
from boots import booted, kamal, role, serving

from kamalnb.events import Phase
from kamalnb.flow import Run
from kamalnb.script import Script
from kamalnb.testing import Driven, PretendHost


def switch(done: Driven) -> Script:
    (script,) = [script for script in done.scripts if script.journal]
    return script


def names(script: Script) -> list[tuple[list[str], list[str]]]:
    return [
        ([step.name for step in section.steps], [step.name for step in section.undo]) for section in script.sections
    ]


def phases(done: Driven) -> list[Phase]:
    (run,) = [effect for effect in done.effects if isinstance(effect, Run) and effect.script.journal]
    return [phase for _, phase in sorted(run.phases)]


def test_up_ties_the_new_one_then_cuts_the_old_one() -> None:
    done = booted(serving("v1"), "v2")
    assert names(switch(done)) == [
        (["guard", "leave the dark", "tie cord", "wait for proxy", "soak"], ["cut cord", "wait until out"]),
        (["cut cord", "wait until out"], ["tie cord", "wait for old one"]),
        (["drain", "still well"], ["tie cord", "wait for old one"]),
        (["stop container"], []),
    ]
    assert phases(done) == [Phase.SOAK, Phase.COMMIT, Phase.DRAIN, Phase.STOP]


def test_down_asks_again_then_cuts_the_old_one() -> None:
    host = serving("v1")
    booted(host, "v2")
    done = booted(host, "v3")
    assert names(switch(done)) == [
        (["wait for proxy"], []),
        (["leave the dark", "cut cord", "wait until out", "soak"], ["tie cord", "wait for old one"]),
        (["drain", "still well"], ["tie cord", "wait for old one"]),
        (["stop container"], []),
    ]
    assert phases(done) == [Phase.SOAK, Phase.DRAIN, Phase.STOP]
    before = done.names[: done.names.index("cut cord")]
    assert before[-4:] == ["tie cord", "wait for proxy", "wait for proxy", "leave the dark"]


def test_old_one_without_a_cord_is_neither_cut_nor_tied() -> None:
    host = PretendHost()
    kamal(host, cord=False)
    (first, *rest) = names(switch(booted(host, "v2")))
    assert first == (["guard", "leave the dark", "tie cord", "wait for proxy", "soak"], ["cut cord", "wait until out"])
    assert rest == [(["drain", "still well"], []), (["stop container"], [])]


def test_first_boot_has_nobody_to_cut_drain_or_stop() -> None:
    assert names(switch(booted(PretendHost(), "v1"))) == [
        (["guard", "leave the dark", "tie cord", "wait for proxy", "soak"], ["cut cord", "wait until out"])
    ]


def test_the_new_ones_cord_is_tied_and_the_old_ones_is_cut() -> None:
    host = serving("v1")
    old = host.of("v1").cord
    script = switch(booted(host, "v2"))
    tied = [command.words[1] for command in script.sections[0].steps if command.name == "tie cord"]
    cut = [command.words[1] for command in script.sections[1].steps if command.name == "cut cord"]
    assert tied == [host.of("v2").cord]
    assert cut == [old]
    assert host.cords[str(old)] == "cut"
    assert host.cords[str(host.of("v2").cord)] == "tied"


def test_the_script_is_detached_and_named_by_the_boots_own_id() -> None:
    host = serving("v1")
    done = booted(host, "v2", nonce="cd" * 16)
    assert switch(done).journal == f"/home/deploy/.kamal/runs/{'cd' * 16}"


@pytest.mark.parametrize("seconds", [0.0, 20.0])
def test_soak_lasts_as_the_role_says(seconds: float) -> None:
    done = booted(serving("v1"), "v2", role(min_healthy=seconds))
    (soak,) = [command for command in done.ran if command.name == "soak"]
    assert soak.words[2] == str(round(seconds * 100))
    assert soak.limit > seconds
