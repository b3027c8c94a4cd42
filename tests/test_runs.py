"""Whole runs over pretend hosts: deploy, the ways back, other changes. What is told, and what the hosts show then."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from kamalnb import events, exits
from kamalnb.errors import ConfigError, UsageError
from kamalnb.events import Event
from kamalnb.fleet import Fleet, Rollout
from kamalnb.project import Project
from kamalnb.report import Report, State
from kamalnb.script import Script, Section
from kamalnb.shell import Command
from kamalnb.testing import PretendFleet, PretendHost, pretend

LOCK = ".kamal/kamalnb-app.lock"
OTHER = "feed0123feed0123"


@dataclass
class Scene:
    """A pretend fleet with a project on this disk, so that it has hooks and an environment."""

    fleet: Fleet
    root: Path
    environ: dict[str, str]

    @property
    def hosts(self) -> dict[str, PretendHost]:
        assert self.fleet.connect is not None
        executor = self.fleet.connect(None)  # type: ignore[arg-type]
        assert isinstance(executor, PretendFleet)
        return executor.hosts

    @property
    def running(self) -> dict[str, list[str]]:
        return {name: host.running for name, host in self.hosts.items()}

    def hook(self, name: str, script: str = "exit 0") -> None:
        path = self.root / ".kamal" / "hooks" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'#!/bin/sh\necho "{name} $KAMAL_HOSTS $KAMALNB_LOCK" >>"{self.root}/called"\n{script}\n')
        path.chmod(0o755)

    @property
    def called(self) -> list[str]:
        """The hooks that were called, with their hosts."""
        return [" ".join(line.split()[:2]) for line in self._lines()]

    def _lines(self) -> list[str]:
        file = self.root / "called"
        return file.read_text().splitlines() if file.exists() else []

    def did_nothing(self) -> bool:
        return all(host.did == [] for host in self.hosts.values())


Make = Callable[..., Scene]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def build(hosts: int = 2, file: str = "", environ: dict[str, str] | None = None, **how: Any) -> Scene:
        plain = pretend(hosts, file=file, **how)
        config = plain.config
        variables = {"PATH": os.environ["PATH"], "KAMALNB_PERFORMER": "jana", **(environ or {})}
        project = Project(
            root=tmp_path, config=config, sources=(tmp_path / "config" / "deploy.yml",), digest="d", environ=variables
        )
        return Scene(replace(plain, load=lambda: project), tmp_path, variables)

    return build


def seen(rollout: Rollout) -> tuple[tuple[Event, ...], Report]:
    """Everything that a run told; its last event is its end, and no other."""
    told = tuple(rollout)
    ends = [event for event in told if isinstance(event, events.RunFinished)]
    assert ends == [told[-1]]
    return told, rollout.report


def sentence(report: Report) -> str:
    assert report.finished is not None
    return report.finished.sentence


def facts(told: tuple[Event, ...]) -> Iterator[str]:
    return (event.fact.text for event in told if isinstance(event, events.FactLearned))


# Deploy.


def test_deploy_calls_hooks_around_each_batch_and_releases_once(make: Make) -> None:
    scene = make(3, "release: bin/migrate\nboot: {limit: 2}")
    for name in ("pre-connect", "pre-deploy", "pre-app-boot", "post-app-boot", "post-deploy", "deploy-failed"):
        scene.hook(name)
    told, report = seen(scene.fleet.deploy("v2"))
    assert exits.of(report) == exits.OK
    assert scene.running == {"web-1": ["v2"], "web-2": ["v2"], "web-3": ["v2"]}
    assert scene.called == [
        "pre-connect web-1,web-2,web-3",
        "pre-deploy web-1,web-2,web-3",
        "pre-app-boot web-1,web-2",
        "post-app-boot web-1,web-2",
        "pre-app-boot web-3",
        "post-app-boot web-3",
        "post-deploy web-1,web-2,web-3",
    ]
    ran = {name: host.ran for name, host in scene.hosts.items()}
    assert ran == {"web-1": [("registry.example/app:v2", "sh", "-c", "bin/migrate")], "web-2": [], "web-3": []}
    order = [event.name for event in told if isinstance(event, events.StepFinished) and event.host == "web-1"]
    assert order.index("release") < order.index("start container")


def test_release_command_has_its_env_file_on_a_host_that_has_nothing(make: Make) -> None:
    scene = make(1, "release: bin/migrate\nenv: {secret: [CANARY]}", {"CANARY": "canary-1"}, serving=None)
    told, report = seen(scene.fleet.deploy("v2"))
    assert report.ok, sentence(report)
    assert scene.hosts["web-1"].files["/home/deploy/.kamal/env/roles/app-web.env"] == "CANARY=canary-1\n"
    assert "canary-1" not in repr(told)


def test_release_command_that_fails_boots_nothing_and_calls_deploy_failed(make: Make) -> None:
    scene = make(2, "release: bin/migrate")
    scene.hook("deploy-failed", f'echo "$KAMALNB_ERROR" >"{scene.root}/error"')
    scene.hosts["web-1"].fail("release", 3, "no such table")
    _told, report = seen(scene.fleet.deploy("v2"))
    assert exits.of(report) == exits.FAILED
    assert "Nothing was booted: web-1: The release command ended with exit code 3." in sentence(report)
    assert scene.running == {"web-1": ["v1"], "web-2": ["v1"]}
    assert "exit code 3" in (scene.root / "error").read_text()
    assert all("start container" not in host.did for host in scene.hosts.values())


def test_redeploy_prunes_nothing_and_releases_too(make: Make) -> None:
    scene = make(1, "release: bin/migrate")
    assert seen(scene.fleet.redeploy("v2"))[1].ok
    assert len(scene.hosts["web-1"].ran) == 1
    assert "prune containers" not in scene.hosts["web-1"].did


def test_host_that_fails_stops_later_batches_and_is_told_to_deploy_failed(make: Make) -> None:
    scene = make(3, "boot: {limit: 1}", fail={"web-2": "never healthy"})
    scene.hook("deploy-failed")
    scene.hook("post-deploy")
    _told, report = seen(scene.fleet.deploy("v2"))
    assert exits.of(report) == exits.FAILED
    assert scene.running == {"web-1": ["v2"], "web-2": ["v1"], "web-3": ["v1"]}
    assert scene.called == ["deploy-failed web-1,web-2,web-3"]
    assert "1 boot not begun" in sentence(report)
    for host in scene.hosts.values():  # the tag moves when all serve
        assert "registry.example/app:latest" not in host.images


def test_same_deploy_again_passes_over_what_serves_and_force_does_not(make: Make) -> None:
    scene = make(2, "boot: {limit: 1}\nrelease: bin/migrate", fail={"web-2": "never healthy"})
    assert not seen(scene.fleet.deploy("v2"))[1].ok
    first = scene.hosts["web-1"].of("v2").id
    told, report = seen(scene.fleet.deploy("v2"))
    assert not report.ok
    assert "web on web-1 serves v2 already; it is passed over (--force boots it)." in list(facts(told))
    assert scene.hosts["web-1"].of("v2").id == first
    assert [len(host.ran) for host in scene.hosts.values()] == [1, 0]  # the release command is not run again
    seen(scene.fleet.deploy("v2", force=True))
    assert scene.hosts["web-1"].of("v2").id != first


def test_image_that_no_registry_has_stops_a_deploy_before_the_hook(make: Make) -> None:
    scene = make(2)
    scene.hook("pre-deploy")
    _told, report = seen(scene.fleet.deploy("v9"))
    assert exits.of(report) == exits.FAILED
    line = "docker build --label service=app -t registry.example/app:v9 . && docker push registry.example/app:v9"
    assert sentence(report).count(line) == 1, sentence(report)
    assert scene.called == []
    assert scene.running == {"web-1": ["v1"], "web-2": ["v1"]}


def test_hook_that_cannot_be_run_is_refused_before_anything_is_done(make: Make) -> None:
    scene = make(1)
    scene.hook("post-deploy")
    (scene.root / ".kamal" / "hooks" / "post-deploy").chmod(0o644)
    _told, report = seen(scene.fleet.deploy("v2"))
    assert not report.ok
    assert "chmod +x .kamal/hooks/post-deploy" in sentence(report)
    assert scene.running == {"web-1": ["v1"]}


def test_post_deploy_hook_that_fails_lets_the_version_stand(make: Make) -> None:
    scene = make(1)
    scene.hook("post-deploy", "exit 4")
    _told, report = seen(scene.fleet.deploy("v2"))
    assert exits.of(report) == exits.FAILED
    assert scene.running == {"web-1": ["v2"]}
    assert sentence(report).startswith("v2 serves on web-1 instead of v1")


def test_dry_run_of_a_deploy_changes_nothing_and_calls_no_hook(make: Make) -> None:
    scene = make(2, "release: bin/migrate")
    scene.hook("pre-connect")
    scene.hook("pre-deploy")
    _told, report = seen(scene.fleet.deploy("v2", dry_run=True))
    assert report.ok
    assert scene.did_nothing()
    assert (scene.called, scene.hosts["web-1"].ran) == ([], [])


def test_skip_hooks_calls_none(make: Make) -> None:
    scene = make(1)
    scene.hook("pre-deploy", "exit 1")
    assert seen(scene.fleet.deploy("v2", skip_hooks=True))[1].ok
    assert scene.called == []


def test_every_secret_that_is_missing_is_told_at_once(make: Make) -> None:
    scene = make(1, "env: {secret: [ONE]}\ntraefik: {env: {secret: [TWO]}}")
    with pytest.raises(ConfigError) as caught:
        scene.fleet.deploy("v2")
    assert len(caught.value.problems) == 2
    assert scene.did_nothing()
    assert seen(scene.fleet.undo())[0]  # the way back needs none


@pytest.mark.parametrize("verb", ["boot", "deploy", "redeploy", "rollback"])
def test_impossible_version_is_refused_before_any_host_is_asked(make: Make, verb: str) -> None:
    scene = make(1, fail={"web-1": "unreachable"})
    with pytest.raises(UsageError, match="“a b” cannot be a version"):
        getattr(scene.fleet, verb)("a b")


# The lock.


def test_second_deploy_is_refused_with_its_own_exit_code_and_no_failed_hook(make: Make) -> None:
    scene = make(2)
    scene.hook("deploy-failed")
    scene.hosts["web-1"].files[scene.hosts["web-1"].path(LOCK)] = f"{OTHER}\nana since noon: deploy v9\n"
    _told, report = seen(scene.fleet.deploy("v2"))
    assert exits.of(report) == exits.LOCKED
    assert "Another deploy is under way on web-1 (ana since noon: deploy v9)." in sentence(report)
    assert (scene.did_nothing(), scene.called) == (True, [])


def test_lock_wait_goes_on_as_soon_as_the_other_lets_go(make: Make) -> None:
    scene = make(1)
    host = scene.hosts["web-1"]
    host.files[host.path(LOCK)] = f"{OTHER}\nana since noon: deploy v9\n"
    rollout = scene.fleet.deploy("v2", lock_wait=20.0)
    waited = []
    for event in rollout:
        if isinstance(event, events.FactLearned) and event.fact.text.startswith("waiting for the lock"):
            waited.append(event)
            host.files[host.path(LOCK)] = ""
    assert len(waited) == 1
    assert rollout.report.ok
    assert host.running == ["v2"]


def test_lock_wait_ends(make: Make) -> None:
    scene = make(1)
    host = scene.hosts["web-1"]
    host.files[host.path(LOCK)] = f"{OTHER}\nana since noon: deploy v9\n"
    _told, report = seen(scene.fleet.boot("v2", lock_wait=20.0))
    assert exits.of(report) == exits.LOCKED
    assert 20.0 <= report.finished.at < 25.0  # type: ignore[union-attr]


def left_at_work(host: PretendHost, seconds: int = 12) -> None:
    """A dead run's script goes on there: its lock is free, its last words are not spoken."""
    host.files[host.path(LOCK)] = f"{OTHER}\nana since noon: deploy v9\n"
    host.files[host.path(LOCK.replace(".lock", ".work"))] = host.files[host.path(LOCK)]
    step = Command(name="assume", words=("k_assume", str(seconds)))
    host.begin(Script(sections=(Section(steps=(step,)),), journal="/runs/x", fence=(LOCK, OTHER)))
    host.time.pass_by(0.0)
    host.files[host.path(LOCK)] = ""


@pytest.mark.parametrize("verb", ["push_env", "stop", "boot"])
def test_what_a_dead_run_left_at_work_is_waited_for_though_nobody_asked_to_wait(make: Make, verb: str) -> None:
    scene = make(2)
    left_at_work(scene.hosts["web-2"])
    told, report = seen(getattr(scene.fleet, verb)(*(("v2",) if verb == "boot" else ())))
    assert report.ok, (sentence(report), report.failures)
    waits = [text for text in facts(told) if text.startswith("waiting for the lock")]
    assert len(waits) == 1
    assert (
        "A script of another run is still at work on web-2 (ana since noon: deploy v9); the host finishes" in waits[0]
    )
    assert [text for text in facts(told) if text.startswith("got the lock after")]
    assert ("looking again: the hosts may have changed meanwhile" in list(facts(told))) is (verb == "boot")
    assert report.finished.at >= 12.0  # type: ignore[union-attr]


def test_what_never_ends_is_not_waited_for_for_ever(make: Make) -> None:
    scene = make(1)
    left_at_work(scene.hosts["web-1"], 3600)
    _told, report = seen(scene.fleet.boot("v2"))
    assert exits.of(report) == exits.LOCKED
    assert "still at work on web-1" in sentence(report)
    assert 180.0 <= report.finished.at < 190.0  # type: ignore[union-attr]


def test_lock_status_tells_what_is_still_at_work(make: Make) -> None:
    scene = make(2)
    left_at_work(scene.hosts["web-2"])
    rows = scene.fleet.lock().to_dict("records")
    assert [(row["status"], row["holder"]) for row in rows] == [("free", "nobody"), ("held", "a script")]
    assert rows[1]["details"] == "ana since noon: deploy v9"


def booted_meanwhile(scene: Scene, rollout: Rollout, version: str) -> Report:
    """Somebody else has the lock, boots ``version`` while ``rollout`` waits, and lets go."""
    host = scene.hosts["web-1"]
    host.files[host.path(LOCK)] = f"{OTHER}\nana since noon: boot {version}\n"
    for event in rollout:
        if isinstance(event, events.FactLearned) and event.fact.text.startswith("waiting for the lock"):
            host.files[host.path(LOCK)] = ""
            assert scene.fleet.boot(version).wait().ok
    return rollout.report


def test_undo_that_waited_while_another_version_was_booted_takes_nothing_back(make: Make) -> None:
    scene = make(1)
    scene.fleet.boot("v2").wait()
    report = booted_meanwhile(scene, scene.fleet.undo(lock_wait=20.0), "v3")
    assert exits.of(report) == 2
    assert sentence(report).startswith("Nothing was changed: web on web-1 serves v3 now, not v2")
    assert scene.hosts["web-1"].running == ["v3"]


def test_boot_that_waited_replaces_what_serves_by_then(make: Make) -> None:
    scene = make(1)
    report = booted_meanwhile(scene, scene.fleet.boot("v2", lock_wait=20.0), "v3")
    assert report.ok
    assert report.lines[0].replaced == "v3"


@pytest.mark.parametrize("verb", ["push_env", "stop", "boot"])
def test_run_that_a_hook_calls_has_the_lock_of_the_outer_one(make: Make, verb: str) -> None:
    scene = make(1, environ={"KAMALNB_LOCK": OTHER})
    scene.hook("pre-connect", "exit 1")  # the outer run has called it: it must not call itself
    host = scene.hosts["web-1"]
    host.files[host.path(LOCK)] = f"{OTHER}\njana since noon: deploy v2\n"
    told, report = seen(getattr(scene.fleet, verb)(*(("v2",) if verb == "boot" else ())))
    assert report.ok, (sentence(report), report.failures)
    assert "the lock is the one of the run that called this hook" in list(facts(told))
    assert host.files[host.path(LOCK)].startswith(OTHER)  # and it is not let go


def test_inherited_lock_that_somebody_else_has_by_now_changes_nothing(make: Make) -> None:
    scene = make(1, environ={"KAMALNB_LOCK": OTHER})
    host = scene.hosts["web-1"]
    host.files[host.path(LOCK)] = "0123456789abcdef\nana since noon: deploy v9\n"
    _told, report = seen(scene.fleet.stop())
    assert not report.ok
    assert scene.did_nothing()


# The ways back.


def test_undo_goes_back_and_calls_no_deploy_hook(make: Make) -> None:
    scene = make(2)
    assert seen(scene.fleet.boot("v2"))[1].ok
    scene.hook("pre-deploy", "exit 1")
    told, report = seen(scene.fleet.undo())
    assert report.ok, sentence(report)
    assert scene.running == {"web-1": ["v1"], "web-2": ["v1"]}
    assert any(text.startswith("web on web-1: ") for text in facts(told))  # says how before it acts


def test_rollback_is_a_deploy_to_hooks_and_runs_no_release_command(make: Make) -> None:
    scene = make(1, "release: bin/migrate")
    assert seen(scene.fleet.boot("v2"))[1].ok
    scene.hook("pre-deploy")
    scene.hook("post-deploy")
    assert seen(scene.fleet.rollback("v1"))[1].ok
    assert scene.called == ["pre-deploy web-1", "post-deploy web-1"]
    assert scene.hosts["web-1"].ran == []


def gone_apart(make: Make) -> Scene:
    """v2 serves on both; before it v1 did on web-1, and v3 on web-2."""
    scene = make(2)
    assert seen(scene.fleet.boot("v1"))[1].ok
    for fleet, version in ((scene.fleet["web-2"], "v3"), (scene.fleet, "v2")):
        assert seen(fleet.boot(version))[1].ok
    return scene


def test_undo_to_different_versions_says_which_serves_where(make: Make) -> None:
    scene = gone_apart(make)
    _, report = seen(scene.fleet.undo())
    assert scene.running == {"web-1": ["v1"], "web-2": ["v3"]}
    assert sentence(report).startswith("v1 serves on web-1, v3 serves on web-2 instead of v2, in ")


@pytest.mark.parametrize("fails", [("web-2",), ("web-1", "web-2")])
def test_undo_that_fails_somewhere_calls_no_version_previous(make: Make, fails: tuple[str, ...]) -> None:
    scene = gone_apart(make)
    for name in fails:
        scene.hosts[name].fail("verify app")
    _, report = seen(scene.fleet.undo())
    whole = "what served before did not boot: web on web-1, web on web-2 failed, in "
    told = whole if len(fails) == 2 else "v1 serves on web-1 instead of v2; web on web-2 failed, in "
    assert sentence(report).startswith(told)


def test_undo_with_nothing_before_is_refused_by_name_before_any_change(make: Make) -> None:
    scene = make(2)
    _told, report = seen(scene.fleet.undo())
    assert not report.ok
    assert sentence(report) == (
        "Nothing was changed: nothing served before v1 for web on web-1, web on web-2. "
        "Name a version that can be booted: invoke rollback --version=VERSION."
    )
    assert scene.did_nothing()


def test_rollback_to_what_one_host_cannot_have_is_refused_everywhere(make: Make) -> None:
    scene = make(2)
    scene.hosts["web-2"].images.pop("registry.example/app:v3")
    scene.hosts["web-2"].registry.pop("registry.example/app:v3")
    _told, report = seen(scene.fleet.rollback("v3"))
    assert not report.ok
    assert "Nothing was booted: web-2: The registry has no registry.example/app:v3" in sentence(report)
    assert scene.running == {"web-1": ["v1"], "web-2": ["v1"]}


def test_dry_run_of_an_undo_changes_nothing(make: Make) -> None:
    scene = make(1)
    seen(scene.fleet.boot("v2"))
    scene.hosts["web-1"].did.clear()
    assert seen(scene.fleet.undo(dry_run=True))[1].ok
    assert scene.did_nothing()
    assert scene.running == {"web-1": ["v2"]}


# Other changes.


def test_change_takes_the_lock_and_gives_it_back(make: Make) -> None:
    scene = make(2)
    _told, report = seen(scene.fleet.stop())
    assert exits.of(report) == exits.OK
    assert scene.running == {"web-1": [], "web-2": []}
    assert sentence(report).startswith("stopped on web-1, web-2, in ")
    assert {host.files[host.path(LOCK)] for host in scene.hosts.values()} == {""}


def test_change_calls_pre_connect_as_kamal_does_and_a_failing_one_stops_it(make: Make) -> None:
    scene = make(1)
    scene.hook("pre-connect", f'echo "$KAMAL_COMMAND $KAMAL_SUBCOMMAND" >"{scene.root}/words"; exit 1')
    _told, report = seen(scene.fleet.push_env())
    assert not report.ok
    assert scene.did_nothing()
    assert (scene.root / "words").read_text() == "env push\n"
    assert seen(scene.fleet.push_env(skip_hooks=True))[1].ok


def test_host_that_fails_is_told_and_the_others_go_on(make: Make) -> None:
    scene = make(3)
    scene.hosts["web-2"].fail("prune images", 1)
    scene.hosts["web-2"].fail("remove env file", 1)
    scene.hosts["web-2"].fail("delete env file", 1)
    _told, report = seen(scene.fleet.delete_env())
    assert exits.of(report) == exits.FAILED
    assert [failure.host for failure in report.failures] == ["web-2"]
    assert "env files deleted on web-1, web-3; web-2 failed" in sentence(report)


def test_change_with_an_unreachable_host_changes_nothing_unless_it_is_left_out(make: Make) -> None:
    scene = make(3, fail={"web-2": "unreachable"})
    _told, report = seen(scene.fleet.stop())
    assert exits.of(report) == exits.UNREACHABLE
    assert scene.did_nothing()
    told, report = seen(scene.fleet.stop(skip_unreachable=True))
    assert report.ok, (sentence(report), report.failures)
    assert scene.running == {"web-1": [], "web-2": ["v1"], "web-3": []}
    assert any("web-2" in text and "left out" in text for text in facts(told))


def test_unreachable_primary_host_is_left_out_of_the_lock_too(make: Make) -> None:
    scene = make(2, fail={"web-1": "unreachable"})
    assert exits.of(seen(scene.fleet.boot("v2"))[1]) == exits.UNREACHABLE
    assert seen(scene.fleet.boot("v2", skip_unreachable=True))[1].ok
    assert scene.running == {"web-1": ["v1"], "web-2": ["v2"]}


def test_dry_run_of_a_change_changes_nothing(make: Make) -> None:
    scene = make(2)
    assert seen(scene.fleet.stop(dry_run=True))[1].ok
    assert scene.did_nothing()


def test_change_that_is_cancelled_begins_nothing_more(make: Make) -> None:
    scene = make(2)
    rollout = scene.fleet.restart_traefik(rolling=True)
    begun = []
    for event in rollout:
        if isinstance(event, events.BatchStarted):
            begun.append(event.hosts)
            rollout.cancel()
    assert begun == [("web-1",)]
    assert exits.of(rollout.report) == exits.STOPPED
    assert "restart traefik" not in scene.hosts["web-2"].did


def test_fleet_that_asks_for_confirmation_is_not_changed_without_the_right_word(make: Make) -> None:
    scene = make(1, "confirm: true")
    _told, report = seen(scene.fleet.stop())
    assert exits.of(report) == exits.WRONG
    assert "--confirm=web@stop" in sentence(report)
    _told, report = seen(scene.fleet.deploy("v2", confirm="web@v3"))
    assert exits.of(report) == exits.WRONG
    assert "“web@v3” is not it. Type --confirm=web@v2" in sentence(report)
    assert scene.did_nothing()
    assert seen(scene.fleet.deploy("v2", confirm="web@v2"))[1].ok


def test_plan_that_is_not_true_any_more_is_refused(make: Make) -> None:
    scene = make(1)
    plan = scene.fleet.plan("v2", verb="deploy")
    assert seen(scene.fleet.boot("v3"))[1].ok
    _told, report = seen(scene.fleet.deploy("v2", plan_id=plan.id))
    assert exits.of(report) == exits.WRONG
    assert plan.id in sentence(report)
    assert scene.running == {"web-1": ["v3"]}


def test_plan_over_an_unreachable_host_ends_with_the_code_of_one(make: Make) -> None:
    scene = make(2, fail={"web-2": "unreachable"})
    with pytest.raises(UsageError, match="web-2") as caught:
        scene.fleet.plan("v2")
    assert caught.value.exit_code == exits.UNREACHABLE


def test_candidates_name_the_hosts_that_did_not_answer(make: Make) -> None:
    scene = make(2, fail={"web-2": "unreachable"})
    table = scene.fleet.candidate_table()
    assert {row["version"] for row in table.rows} >= {"v1", "v2"}
    assert list(table.failed) == ["web-2"]


def test_line_on_the_hosts_themselves_and_its_exit_code(make: Make) -> None:
    scene = make(2)
    told, report = seen(scene.fleet.run_on_hosts("df -h"))
    assert report.ok, report.failures
    printed = {(event.host, event.line) for event in told if isinstance(event, events.LinePrinted)}
    assert printed >= {("web-1", "web-1 ran it"), ("web-2", "web-2 ran it")}
    scene.hosts["web-2"].fail("server exec", 3)
    assert exits.of(seen(scene.fleet.run_on_hosts("df -h"))[1]) == exits.FAILED


def test_bootstrap_says_first_what_it_would_do_and_does_it_then(make: Make) -> None:
    scene = make(2, fail={"web-2": "no docker"})
    _told, report = seen(scene.fleet.bootstrap(only_look=True))
    assert report.ok
    assert not scene.hosts["web-2"].docker_answers
    assert seen(scene.fleet.bootstrap())[1].ok
    assert scene.hosts["web-2"].docker_answers


def test_person_holds_the_lock_until_it_is_released(make: Make) -> None:
    scene = make(2)
    assert seen(scene.fleet.acquire_lock("database is moved"))[1].ok
    _told, report = seen(scene.fleet.deploy("v2"))
    assert exits.of(report) == exits.LOCKED
    assert "database is moved" in sentence(report)
    assert seen(scene.fleet.release_lock())[1].ok
    assert seen(scene.fleet.deploy("v2"))[1].ok


def test_boot_that_is_cancelled_while_it_looks_says_so_and_blames_no_host(make: Make) -> None:
    rollout = make(2).fleet.boot("v2")
    for event in rollout:
        if isinstance(event, events.FactLearned) and event.fact.text.startswith("looking at"):
            rollout.cancel()
    assert rollout.report.finished is not None
    assert rollout.report.finished.sentence == "Nothing was changed: cancelled."
    assert rollout.report.failures == ()


def test_cancel_between_two_batches_is_told_and_ends_as_one() -> None:
    rollout = pretend(3, file="boot: {limit: 1, wait: 7}\n").boot("v2")
    told = []
    for event in rollout:
        told.append(type(event))
        if isinstance(event, events.Waiting):
            rollout.cancel()
    assert told.count(events.CancelRequested) == 1
    assert rollout.report.finished is not None
    assert rollout.report.finished.exit_code == exits.of(rollout.report) == exits.STOPPED
    assert [line.state for line in rollout.report.lines] == [State.BOOTED, State.WAITING, State.WAITING]


@pytest.mark.parametrize("number", range(0, 100, 5))
def test_cancel_at_any_event_that_keeps_a_host_from_booting_ends_as_a_cancel(number: int) -> None:
    rollout = pretend(2, file="boot: {limit: 1}\n").boot("v2")
    for place, _event in enumerate(rollout):
        if place == number:
            rollout.cancel()
    assert rollout.report.finished is not None
    assert rollout.report.finished.ok or exits.of(rollout.report) == exits.STOPPED


def test_deploy_that_is_cancelled_before_the_switch_leaves_what_served(make: Make) -> None:
    scene = make(1)
    rollout = scene.fleet.deploy("v2")
    stopped = threading.Event()
    for event in rollout:
        if isinstance(event, events.PhaseEntered) and event.phase is events.Phase.START and not stopped.is_set():
            stopped.set()
            rollout.cancel()
    assert stopped.is_set()
    assert exits.of(rollout.report) == exits.STOPPED
    assert scene.running in ({"web-1": ["v1"]}, {"web-1": ["v2"]})
    assert scene.hosts["web-1"].serving in ("v1", "v2")


def test_hook_that_tells_of_a_stopped_deploy_is_not_stopped_with_it(make: Make) -> None:
    scene = make(2, "boot: {limit: 1, wait: 7}")
    scene.hook("deploy-failed", f'sleep 0.5; echo "told" >"{scene.root}/told"')
    rollout = scene.fleet.deploy("v2")
    for event in rollout:
        if isinstance(event, events.Waiting):
            rollout.cancel()
    assert exits.of(rollout.report) == exits.STOPPED
    assert (scene.root / "told").read_text() == "told\n"


def test_checkout_that_knows_fewer_hosts_than_the_last_boot_is_said(make: Make) -> None:
    scene = make(2)
    assert seen(scene.fleet.boot("v2"))[1].ok
    project = scene.fleet._project()
    (web,) = project.config.roles
    fewer = replace(project, config=replace(project.config, roles=(replace(web, hosts=("web-1",)),)))
    told, report = seen(replace(scene.fleet, load=lambda: fewer).boot("v3"))
    sentence = "Your file knows 1 host, the last boot 2: this checkout may be stale. Pull before you boot."
    assert (report.ok, list(facts(told)).count(sentence)) == (True, 1)
