"""The engine over pretend hosts: threads, batches, failures that hide nobody, cancelling, and one stream of events."""

from __future__ import annotations

import itertools
import threading

import pytest
from boots import REPOSITORY, plan, role, serving

from kamalnb import events
from kamalnb.boot import boot
from kamalnb.config.model import Config
from kamalnb.config.reading import read_config
from kamalnb.engine import Engine
from kamalnb.errors import BootError, KamalnbError
from kamalnb.events import NEXT, Event, Phase
from kamalnb.executor import Abort, OnLine, OnResult, never
from kamalnb.flow import Enter, Flow, do
from kamalnb.plan import Plan, select
from kamalnb.plan import plan as planned
from kamalnb.report import Report, State
from kamalnb.rollout import Each, FleetFlow, Job, Outcome, rollout
from kamalnb.script import Script
from kamalnb.shell import Result, look
from kamalnb.testing import APPS, PretendFleet, PretendHost, drive_on

HOSTS = ("web-1", "web-2", "web-3", "web-4")


def config(more: str = "") -> Config:
    hosts = ", ".join(HOSTS)
    text = f"service: app\nimage: app\nregistry: {{server: registry.example}}\nservers: {{web: [{hosts}]}}\n{more}"
    return read_config(text, environ={})


def a_plan(version: str = "v2", more: str = "", fence: tuple[str, str] | None = None) -> Plan:
    import hashlib
    from dataclasses import replace

    count = iter(range(1000))
    found = config(more)
    made = planned(
        found,
        select(found),
        version=version,
        tag=version,
        run_id="r",
        new_id=lambda: hashlib.sha256(f"{version}{next(count)}".encode()).hexdigest()[:32],
    )
    return replace(made, boots=tuple(replace(one, fence=fence) for one in made.boots))


def fleet(version: str | None = "v1") -> PretendFleet:
    hosts = [PretendHost(name) for name in HOSTS]
    for host in hosts if version else ():
        assert drive_on(host, boot(plan(version, host=host.name))).error is None
    return PretendFleet(hosts)


def driven(on: PretendFleet, flow: FleetFlow) -> tuple[list[Event], tuple[Outcome, ...]]:
    return ended(Engine(on, on.clock), flow)


def ended(engine: Engine, flow: FleetFlow) -> tuple[list[Event], tuple[Outcome, ...]]:
    stream = engine.drive(flow)
    found: list[Event] = []
    while True:
        try:
            found.append(next(stream))
        except StopIteration as stop:
            return found, stop.value


def of(found: list[Event], host: str, kind: type[Event]) -> list[Event]:
    return [event for event in found if event.host == host and isinstance(event, kind)]


def test_every_host_boots_and_latest_moves_last() -> None:
    on = fleet()
    found, outcomes = driven(on, rollout(a_plan()))
    assert [outcome.ok for outcome in outcomes] == [True] * 4
    for host in on.hosts.values():
        assert host.serving == "v2"
        assert host.running == ["v2"]
        assert f"{REPOSITORY}:latest" in host.images
        assert host.did[-3:] == ["tidy up", "audit", "tag image"]
        assert host.did.index("tag image") > host.did.index("stop container")
    last_boot = max(number for number, event in enumerate(found) if isinstance(event, events.HostBooted))
    first_tag = min(
        number
        for number, event in enumerate(found)
        if isinstance(event, events.StepFinished) and event.name == "tag image"
    )
    assert last_boot < first_tag


def test_phases_of_each_host_follow_each_other_as_the_table_says() -> None:
    found, _ = driven(fleet(), rollout(a_plan()))
    for name in HOSTS:
        phases = [event.phase for event in of(found, name, events.PhaseEntered)]
        assert phases[0] is Phase.OBSERVE
        assert phases[-1] is Phase.DONE
        assert all(after in NEXT[before] for before, after in itertools.pairwise(phases)), phases
        assert {Phase.SWITCH, Phase.SOAK, Phase.COMMIT, Phase.DRAIN, Phase.STOP} <= set(phases)


def test_times_never_go_back_on_one_host() -> None:
    found, _ = driven(fleet(), rollout(a_plan()))
    for name in HOSTS:
        times = [event.at for event in found if event.host == name]
        assert times == sorted(times)


def test_the_report_says_who_serves_what() -> None:
    report = Report().after(
        events.RunStarted(
            at=0.0, run_id="r", verb="boot", service="app", version="v2", targets=tuple((name, "web") for name in HOSTS)
        )
    )
    found, _ = driven(fleet(), rollout(a_plan()))
    for event in found:
        report = report.after(event)
    assert report.count(State.BOOTED) == 4
    assert {line.replaced for line in report.lines} == {"v1"}


def test_one_failing_host_hides_nobody_and_stops_the_next_batch() -> None:
    on = fleet()
    on.hosts["web-1"].images[f"{REPOSITORY}:v2"] = on.hosts["web-1"].images[f"{REPOSITORY}:never-healthy"]
    found, outcomes = driven(on, rollout(a_plan(more="boot: {limit: 2}\n")))
    assert [(outcome.job.host, outcome.ok) for outcome in outcomes] == [("web-1", False), ("web-2", True)]
    assert [host.serving for host in on.hosts.values()] == ["v1", "v2", "v1", "v1"]
    (failure,) = of(found, "web-1", events.HostFailed)
    assert failure.phase is Phase.VERIFY
    assert failure.serving == "v1 serves, as before."
    assert failure.log
    assert not any(f"{REPOSITORY}:latest" in host.images for host in on.hosts.values())


def test_two_failing_hosts_are_both_told() -> None:
    on = fleet()
    on.hosts["web-1"].fail("start container", 125, "no space left")
    on.hosts["web-3"].unreachable = True
    found, outcomes = driven(on, rollout(a_plan()))
    assert [outcome.ok for outcome in outcomes] == [False, True, False, True]
    assert isinstance(outcomes[0].error, BootError)
    assert "nothing answers at web-3" in str(outcomes[2].error)
    assert {event.host for event in found if isinstance(event, events.HostFailed)} == {"web-1", "web-3"}


def test_batches_follow_each_other_with_a_pause_between_but_not_after_the_last() -> None:
    found, _ = driven(fleet(), rollout(a_plan(more="boot: {limit: 25%, wait: 7}\n")))
    assert [event.hosts for event in found if isinstance(event, events.BatchStarted)] == [(name,) for name in HOSTS]
    assert [event.seconds for event in found if isinstance(event, events.Waiting)] == [7.0, 7.0, 7.0]
    booted = [event.host for event in found if isinstance(event, events.HostBooted)]
    assert booted == list(HOSTS)


class Stopping(PretendFleet):
    """A person stops the run at the very moment when a command called ``at`` has ended on the first host."""

    at = ""
    engine: Engine

    def run(
        self, host: str, script: Script, on_result: OnResult, on_line: OnLine, abort: Abort = never
    ) -> tuple[Result, ...]:
        def told(number: int, result: Result) -> None:
            on_result(number, result)
            if result.name == self.at and host == "web-1":
                self.engine.cancel()

        return super().run(host, script, told, on_line, abort)


class StoppingInside(Stopping):
    """A person stops the run while the command called ``at`` is at work on the first host."""

    def run(
        self, host: str, script: Script, on_result: OnResult, on_line: OnLine, abort: Abort = never
    ) -> tuple[Result, ...]:
        def asked() -> bool:
            if host == "web-1" and self.hosts[host].did[-1:] == [self.at]:
                self.engine.cancel()
            return abort()

        return PretendFleet.run(self, host, script, on_result, on_line, asked)


def stopped(at: str, kind: type[Stopping] = Stopping) -> tuple[PretendFleet, list[Event], tuple[Outcome, ...]]:
    on = kind(fleet().hosts.values())
    on.at = at
    on.engine = Engine(on, on.clock)
    return on, *ended(on.engine, rollout(a_plan(more="boot: {limit: 1}\n")))


@pytest.mark.parametrize(
    "at", ["look at cords", "make cord", "audit", "start container", "verify app", "look at sockets"]
)
def test_cancel_before_the_switch_is_taken_back_everywhere(at: str) -> None:
    on, found, outcomes = stopped(at)
    assert [host.serving for host in on.hosts.values()] == ["v1"] * 4
    assert [host.running for host in on.hosts.values()] == [["v1"]] * 4
    assert [outcome.ok for outcome in outcomes] == [False]
    assert any(isinstance(event, events.CancelRequested) for event in found)
    assert len([event for event in found if isinstance(event, events.BatchStarted)]) == 1


@pytest.mark.parametrize("at", ["make cord", "start container"])
def test_cancel_lets_a_change_end_before_it_is_taken_back_so_that_nothing_comes_after_it(at: str) -> None:
    on, _, outcomes = stopped(at, StoppingInside)
    on.hosts["web-1"].time.pass_by(60)
    assert [outcome.ok for outcome in outcomes] == [False]
    assert [host.running for host in on.hosts.values()] == [["v1"]] * 4
    assert [host.serving for host in on.hosts.values()] == ["v1"] * 4


def test_cancel_while_the_old_one_is_stopped_first_starts_it_again_when_it_has_stopped() -> None:
    alone = role("job", order="stop-first")
    on = StoppingInside([serving("stubborn", alone)])
    on.at, on.engine = "stop container", Engine(on, on.clock)

    def once() -> FleetFlow:
        return (yield Each((Job("web-1", "job", boot(plan("v2", alone))),)))

    _, outcomes = ended(on.engine, once())
    on.hosts["web-1"].time.pass_by(60)
    assert [outcome.ok for outcome in outcomes] == [False]
    assert on.hosts["web-1"].running == ["stubborn"]


@pytest.mark.parametrize("at", ["tie cord", "wait for proxy", "cut cord", "drain", "stop container"])
def test_cancel_past_the_switch_lets_the_host_finish_and_begins_no_further_batch(at: str) -> None:
    on, _, outcomes = stopped(at)
    assert [(outcome.job.host, outcome.ok) for outcome in outcomes] == [("web-1", True)]
    assert [host.serving for host in on.hosts.values()] == ["v2", "v1", "v1", "v1"]
    assert on.hosts["web-1"].running == ["v2"]


def test_cancel_before_it_begins_changes_nothing() -> None:
    on = fleet()
    engine = Engine(on, on.clock)
    engine.cancel()
    engine.cancel()
    done = [host.did[:] for host in on.hosts.values()]
    stream = list(engine.drive(rollout(a_plan())))
    assert [type(event) for event in stream] == [events.CancelRequested]
    assert [host.did for host in on.hosts.values()] == done


def test_run_that_lost_its_lock_is_refused_by_every_host() -> None:
    on = fleet()
    _, outcomes = driven(on, rollout(a_plan(fence=(".kamal/kamalnb-app.lock", "me"))))
    assert not any(outcome.ok for outcome in outcomes)
    assert all("lock" in str(outcome.error) for outcome in outcomes)
    assert [host.serving for host in on.hosts.values()] == ["v1"] * 4


def test_run_that_holds_its_lock_boots() -> None:
    on = fleet()
    for host in on.hosts.values():
        host.files[host.path(".kamal/kamalnb-app.lock")] = "me\nme since today"
    _, outcomes = driven(on, rollout(a_plan(fence=(".kamal/kamalnb-app.lock", "me"))))
    assert all(outcome.ok for outcome in outcomes)


def test_defect_of_ours_is_reported_and_the_neighbours_finish() -> None:
    def broken() -> Flow[None]:
        yield Enter(Phase.OBSERVE)
        raise ZeroDivisionError("oops")

    def fine() -> Flow[str]:
        yield from do(look("x", "true"))
        return "well"

    def both() -> FleetFlow:
        return (yield Each((Job("web-1", "web", broken()), Job("web-2", "web", fine()))))

    _, (first, second) = driven(fleet(None), both())
    assert isinstance(first.error, KamalnbError)
    assert "defect of kamalnb" in str(first.error)
    assert second.value == "well"


def test_more_jobs_than_workers_all_end() -> None:
    on = fleet(None)

    def fine() -> Flow[str]:
        yield from do(look("x", "true"))
        return threading.current_thread().name

    def many() -> FleetFlow:
        return (yield Each(tuple(Job("web-1", "", fine()) for _ in range(150))))

    _, outcomes = driven(on, many())
    assert len(outcomes) == 150
    assert all(outcome.ok for outcome in outcomes)


def test_closing_the_stream_lets_running_hosts_finish() -> None:
    on = fleet()
    engine = Engine(on, on.clock)
    stream = engine.drive(rollout(a_plan(more="boot: {limit: 2}\n")))
    next(event for event in stream if isinstance(event, events.PhaseEntered))
    stream.close()
    assert [host.running for host in on.hosts.values()] == [["v2"], ["v2"], ["v1"], ["v1"]]


def test_documents_are_not_shown_as_lines_and_waiting_is() -> None:
    found, _ = driven(fleet(), rollout(a_plan()))
    lines = [event for event in found if isinstance(event, events.LinePrinted)]
    assert not any(event.line.startswith("{") for event in lines)
    assert any(event.line == "waiting for health" for event in lines)


def test_tag_that_fails_is_a_warning_only() -> None:
    on = fleet()
    on.hosts["web-2"].fail("tag image")
    found, outcomes = driven(on, rollout(a_plan()))
    assert all(outcome.ok for outcome in outcomes)
    told = [event.fact for event in found if isinstance(event, events.FactLearned) and event.fact.kind == "tag"]
    assert [fact.warning for fact in told] == [True]
    assert "web-2" in told[0].text


def test_apps_of_pretend_hosts_have_the_versions_of_the_lab() -> None:
    from kamalnb.lab.images import APP_VERSIONS

    missing = {version.tag for version in APP_VERSIONS} - set(APPS) - {"own-check", "no-curl"}
    assert missing == set()
