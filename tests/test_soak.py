"""The soak without a lab: what its seed chooses, and what its judge calls wrong."""

from __future__ import annotations

import pytest

from kamalnb.lab.soak.ground import SERVICE, Found, Look
from kamalnb.lab.soak.rounds import BAD, GOOD, Kind, Story
from kamalnb.lab.soak.watch import wrong_in


def test_the_same_seed_tells_the_same_story() -> None:
    first, again, other = Story(7), Story(7), Story(8)
    rounds = [first.next() for _ in range(50)]
    assert [again.next() for _ in range(50)] == rounds
    assert [other.next() for _ in range(50)] != rounds


def test_every_kind_comes_within_two_hundred_rounds() -> None:
    story = Story(1)
    assert {story.next().kind for _ in range(200)} == set(Kind)


def test_each_round_begins_with_what_the_one_before_left() -> None:
    story, serves = Story(3), "v1"
    for _ in range(200):
        chosen = story.next()
        assert chosen.before == serves
        serves = chosen.serves
        assert serves in GOOD


def test_a_failing_boot_changes_nobody_who_serves() -> None:
    story = Story(4)
    failing = [chosen for chosen in (story.next() for _ in range(200)) if chosen.fails]
    assert failing
    for chosen in failing:
        assert chosen.serves == chosen.before
        assert chosen.words[1].removeprefix("--version=") in BAD


def test_undo_brings_back_what_served_before() -> None:
    story, served = Story(5), ["v1"]
    for _ in range(200):
        chosen = story.next()
        if chosen.kind is Kind.UNDO:
            assert chosen.serves == next(version for version in reversed(served) if version != served[-1])
        if chosen.serves != served[-1]:
            served.append(chosen.serves)


# -- the judge ---------------------------------------------------------------------------------------------

OLD = Found(f"{SERVICE}-web-v1", "exited", "unhealthy", "/cords/old")
NEW = Found(f"{SERVICE}-web-v2", "running", "healthy", "/cords/new")
CORDS = {"/cords/old": "cut", "/cords/new": "tied"}


def test_one_container_that_serves_and_an_ended_one_are_well() -> None:
    assert wrong_in(Look((OLD, NEW), CORDS, ()), "v2") == []


WRONG = {
    "nothing": Look((), {}, ()),
    "another version": Look((Found(f"{SERVICE}-web-v1", "running", "healthy", "/cords/new"),), CORDS, ()),
    "two that run": Look((Found(OLD.name, "running", "unhealthy", OLD.cord), NEW), CORDS, ()),
    "not healthy": Look((OLD, Found(NEW.name, "running", "starting", NEW.cord)), CORDS, ()),
    "cut": Look((OLD, NEW), {**CORDS, "/cords/new": "cut"}, ()),
    "only made": Look((Found(f"{SERVICE}-web-v3", "created", "none", ""), NEW, OLD), CORDS, ()),
    "another cord tied": Look((OLD, NEW), {**CORDS, "/cords/old": "tied"}, ()),
    "a cord of nobody": Look((NEW,), CORDS, ()),
    "a journal": Look((OLD, NEW), CORDS, ("run 0123",)),
    "a foreign name": Look((OLD, NEW, Found("x", "exited", "none", "")), CORDS, ()),
}


@pytest.mark.parametrize("name", WRONG)
def test_the_judge_sees(name: str) -> None:
    assert wrong_in(WRONG[name], "v2") != []
