"""The run around the boots, as a flow: batches, the pause between them, the tag at the end."""

from __future__ import annotations

from typing import Any

from kamalnb.boot import Booted
from kamalnb.config.reading import read_config
from kamalnb.errors import BootError
from kamalnb.flow import Pause, Tell
from kamalnb.plan import plan, select
from kamalnb.rollout import Begin, Each, Outcome, rollout


def effects(more: str, fails: tuple[str, ...] = (), stops_before: int = 99) -> tuple[list[Any], tuple[Outcome, ...]]:
    config = read_config(f"service: app\nimage: app\nservers: {{web: [a, b, c]}}\n{more}", environ={})
    ids = (f"{number:032x}" for number in range(100))
    made = plan(config, select(config), version="v2", tag="v2", run_id="r", new_id=lambda: next(ids))
    flow = rollout(made)
    found, answer = [], None
    while True:
        try:
            effect = flow.send(answer)
        except StopIteration as stop:
            return found, stop.value
        found.append(effect)
        answer = effect.number < stops_before if isinstance(effect, Begin) else None
        if isinstance(effect, Each):
            answer = tuple(
                Outcome(job=job, error=BootError("no"))
                if job.host in fails
                else Outcome(job=job, value=Booted(version="v2", replaced=None, container="x"))
                for job in effect.jobs
            )
            for job in effect.jobs:
                job.flow.close()


def hosts(found: list[Any]) -> list[list[str]]:
    return [[job.host for job in effect.jobs] for effect in found if isinstance(effect, Each)]


def test_all_at_once_then_the_tag() -> None:
    found, outcomes = effects("")
    assert hosts(found) == [["a", "b", "c"], ["a", "b", "c"]]
    assert len(outcomes) == 3


def test_one_by_one_with_pauses_between() -> None:
    found, _ = effects("boot: {limit: 1, wait: 3}\n")
    assert hosts(found) == [["a"], ["b"], ["c"], ["a", "b", "c"]]
    assert [effect.seconds for effect in found if isinstance(effect, Pause)] == [3.0, 3.0]


def test_failure_ends_it_after_its_batch_without_a_tag() -> None:
    found, outcomes = effects("boot: {limit: 2}\n", fails=("a",))
    assert hosts(found) == [["a", "b"]]
    assert [outcome.ok for outcome in outcomes] == [False, True]


def test_person_who_stops_it_ends_it_before_the_next_batch_without_a_tag() -> None:
    found, outcomes = effects("boot: {limit: 1}\n", stops_before=2)
    assert hosts(found) == [["a"]]
    assert len(outcomes) == 1


def test_failed_tag_is_told_and_nothing_more() -> None:
    config = read_config("service: app\nimage: app\nservers: {web: [a]}\n", environ={})
    made = plan(config, select(config), version="v2", tag="v2", run_id="r", new_id=lambda: "0" * 32)
    flow = rollout(made)
    next(flow)
    boots = flow.send(True)
    tags = flow.send(tuple(Outcome(job=job, value="x") for job in boots.jobs))
    told = flow.send(tuple(Outcome(job=job, error=BootError("disk full")) for job in tags.jobs))
    assert isinstance(told, Tell)
    assert told.fact.warning
    assert "disk full" in told.fact.text
    for job in (*boots.jobs, *tags.jobs):
        job.flow.close()
