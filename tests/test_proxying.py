"""Traefik booted, rebooted, stopped and removed on a pretend host: what is told, what serves, what is put back."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from boots import booted, serving

from kamalnb.config.model import Env, SecretSource, TraefikSettings
from kamalnb.errors import BootError, CommandFailed
from kamalnb.flow import Flow, Run
from kamalnb.flows import proxying
from kamalnb.flows.proxying import Proxying
from kamalnb.shell import Secret
from kamalnb.testing import Driven, PretendHost, drive, drive_on

FILE = TraefikSettings(image="traefik:v3.7")
_count = itertools.count(1)


def work(settings: TraefikSettings = FILE, **changes: Any) -> Proxying:
    return Proxying(host="web-1", settings=settings, service="app", suffix=f"{next(_count):016x}", **changes)


def ran(host: PretendHost, flow: Flow[Any]) -> Driven:
    return drive_on(host, flow)


def done(host: PretendHost, flow: Flow[Any]) -> Driven:
    driven = ran(host, flow)
    if driven.error is not None:
        raise driven.error
    return driven


def refused(host: PretendHost, flow: Flow[Any]) -> BootError:
    driven = ran(host, flow)
    assert isinstance(driven.error, BootError), driven
    return driven.error


@pytest.fixture
def host() -> PretendHost:
    """v1 serves behind a Traefik that is as the file says."""
    host = serving("v1")
    del host.containers[host.find("traefik").id]
    done(host, proxying.boot(work()))
    host.time.pass_by(1.0)
    host.did.clear()
    return host


def audit(host: PretendHost) -> str:
    return next(text for path, text in host.files.items() if path.endswith("app-audit.log"))


# -- boot ------------------------------------------------------------------------------------------------------


def test_boot_leaves_a_traefik_alone_that_runs_as_the_file_says(host: PretendHost) -> None:
    before = host.find("traefik").id
    driven = done(host, proxying.boot(work()))
    assert driven.value.sentence == "Traefik runs already."
    assert not driven.facts
    assert host.find("traefik").id == before


def test_boot_tells_what_of_a_running_traefik_is_not_as_in_the_file(host: PretendHost) -> None:
    before = host.find("traefik").id
    driven = done(host, proxying.boot(work(replace(FILE, args={"log.level": "DEBUG"}))))
    assert [fact.text for fact in driven.facts] == [
        "Traefik is not as in the file: --log.level: INFO now, DEBUG in the file"
    ]
    assert driven.value.sentence == (
        "Traefik runs already. 1 setting is not as in the file; to change that, invoke traefik.reboot."
    )
    assert host.find("traefik").id == before


def test_boot_starts_one_where_there_is_none(host: PretendHost) -> None:
    del host.containers[host.find("traefik").id]
    assert done(host, proxying.boot(work())).value.data == {"did": "started"}
    assert host.proxy_answers()


def test_boot_puts_back_the_old_one_that_a_dying_host_left_aside(host: PretendHost) -> None:
    """The reboot was not confirmed: the new one never was routed."""
    old = host.find("traefik")
    old.name, old.status = "traefik_replaced_0123456789abcdef", "exited"
    done(host, proxying.boot(work()))
    assert host.find("traefik") is old
    assert old.running


# -- reboot ----------------------------------------------------------------------------------------------------


def test_reboot_shows_the_difference_then_the_gap_then_does_it(host: PretendHost) -> None:
    traffic = host.traffic()
    driven = done(host, proxying.reboot(work(replace(FILE, args={"log.level": "DEBUG"}))))
    host.time.pass_by(1.0)
    traffic.end()
    told = [fact.text for fact in driven.facts]
    assert told[0] == "--log.level: INFO now, DEBUG in the file"
    assert "up to 1" in told[1]
    assert driven.value.sentence.startswith("Traefik was rebooted, 1 setting changed; nothing was served for 0.")
    assert "--log.level=DEBUG" in host.find("traefik").args
    assert {answer.lost for answer in traffic.lost} <= {"refused: no Traefik runs", "404: no router"}
    assert len(traffic.lost) < 20
    assert host.serving == "v1"
    assert [one.name for one in host.containers.values() if one.name.startswith("traefik")] == ["traefik"]


def test_reboot_without_a_difference_says_so_and_still_does_it(host: PretendHost) -> None:
    before = host.find("traefik").id
    driven = done(host, proxying.reboot(work()))
    assert "What runs is as the file says: a reboot changes nothing." in [fact.text for fact in driven.facts]
    assert driven.value.sentence.startswith("Traefik was rebooted, as it was;")
    assert host.find("traefik").id != before


def test_everything_that_can_fail_is_done_while_the_old_one_runs(host: PretendHost) -> None:
    host.images.pop("traefik:v3.7.15", None)
    host.registry["traefik:v3.7.15"] = host.images["traefik:v3.7"]
    done(host, proxying.reboot(work(replace(FILE, image="traefik:v3.7.15"))))
    assert host.did.index("pull image") < host.did.index("create Traefik") < host.did.index("reboot traefik")


def test_the_old_one_runs_again_where_the_new_one_ends_at_once(host: PretendHost) -> None:
    before = host.find("traefik").id
    error = refused(host, proxying.reboot(work(replace(FILE, args={"nonsense": "yes"}))))
    assert "The new Traefik on web-1 is restarting." in str(error)
    assert "The old one runs again; nothing was served for" in str(error)
    assert error.log == ("Traefik starts",)
    assert host.find("traefik").id == before
    host.time.pass_by(1.0)
    assert host.serving == "v1"
    assert len([one for one in host.containers.values() if one.name.startswith("traefik")]) == 1


def test_the_old_one_runs_again_where_the_new_one_does_not_route(host: PretendHost) -> None:
    before, host.traefik.deaf_from = host.find("traefik").id, host.time.now
    error = refused(host, proxying.reboot(work()))
    assert "does not route as before (app-web-v1" in error.why
    assert host.find("traefik").id == before


def test_options_that_docker_refuses_stop_it_before_anything_stops(host: PretendHost) -> None:
    traffic = host.traffic()
    error = refused(host, proxying.reboot(work(replace(FILE, options={"no-such-option": "1"}))))
    traffic.end()
    assert "unknown flag: --no-such-option" in error.why
    assert error.serving == "The old one runs as before."
    assert not traffic.lost


def test_an_image_that_cannot_be_had_changes_nothing(host: PretendHost) -> None:
    error = refused(host, proxying.reboot(work(replace(FILE, image="traefik:v3.99"))))
    assert "is not on web-1 and cannot be pulled" in error.why
    assert host.did == ["pull image"]


def test_an_image_that_is_there_is_used_where_pulling_it_again_fails(host: PretendHost) -> None:
    host.fail("pull image", said="no such host")
    driven = done(host, proxying.reboot(work(), pull=True))
    assert any("the one that is there is used" in fact.text for fact in driven.facts if fact.warning)


def another_major(host: PretendHost) -> TraefikSettings:
    host.images["traefik:v2.11.31"] = host.images["traefik:v3.7"]
    return replace(FILE, image="traefik:v2.11.31")


def test_a_major_version_is_not_crossed_unasked(host: PretendHost) -> None:
    error = refused(host, proxying.reboot(work(another_major(host))))
    assert "is v3, the file asks for v2" in error.why
    assert "--major" in error.hint
    assert not host.did


def test_a_major_version_is_crossed_when_asked(host: PretendHost) -> None:
    done(host, proxying.reboot(work(another_major(host)), major=True))
    assert host.find("traefik").image == "traefik:v2.11.31"


def test_a_version_that_cannot_be_told_is_not_crossed_to_unasked(host: PretendHost) -> None:
    host.images["traefik:edge"] = host.images["traefik:v3.7"]
    error = refused(host, proxying.reboot(work(replace(FILE, image="traefik:edge"))))
    assert "Which version of Traefik traefik:edge is cannot be told" in error.why


def acme(path: str = "/letsencrypt/acme.json", **changes: Any) -> TraefikSettings:
    return replace(FILE, args={"certificatesResolvers.le.acme.storage": path}, **changes)


def test_certificates_that_the_new_one_would_not_find_are_not_lost_unasked(host: PretendHost) -> None:
    done(host, proxying.reboot(work(acme())))
    mounted = acme(options={"volume": ("letsencrypt:/letsencrypt",)})
    error = refused(host, proxying.reboot(work(mounted)))
    assert "in /letsencrypt/acme.json, and a reboot loses them" in error.why
    done(host, proxying.reboot(work(mounted), yes=True))
    done(host, proxying.reboot(work(mounted)))  # they lie in a volume from now on


def test_certificates_inside_the_container_are_carried_over(host: PretendHost) -> None:
    done(host, proxying.reboot(work(acme())))
    driven = done(host, proxying.reboot(work(acme())))
    command = next(command for command in driven.ran if command.name == "reboot traefik")
    assert command.words[4] == "/letsencrypt/acme.json"


def test_a_stopped_traefik_does_not_give_its_certificates_away(host: PretendHost) -> None:
    done(host, proxying.reboot(work(acme())))
    done(host, proxying.stop(work(acme())))
    assert "a reboot loses them" in refused(host, proxying.reboot(work(acme()))).why


def test_a_container_that_the_new_one_could_not_reach_stops_it_before_anything_stops(host: PretendHost) -> None:
    host.networks["private"] = "172.18.0"
    error = refused(host, proxying.reboot(work(replace(FILE, options={"network": "private"}))))
    assert "app-web-v1 is routed now, and the Traefik of the file would not reach it" in error.why
    assert "create Traefik" not in host.did


def test_reboot_starts_one_where_none_runs(host: PretendHost) -> None:
    host.find("traefik").status = "exited"
    driven = done(host, proxying.reboot(work()))
    assert driven.value.sentence == "Traefik did not run; a new one was started."
    assert host.proxy_answers()


def test_a_lost_connection_does_not_stop_a_reboot(host: PretendHost) -> None:
    host.lose_connection("reboot traefik")
    error = refused(host, proxying.reboot(work(replace(FILE, args={"log.level": "DEBUG"}))))
    assert "the host finishes that by itself" in error.why
    host.time.pass_by(30.0)
    assert "--log.level=DEBUG" in host.find("traefik").args
    assert host.serving == "v1"


def test_the_secret_environment_is_written_before_the_new_one_is_made(host: PretendHost) -> None:
    secret = replace(FILE, env=Env(secret={"CF_TOKEN": SecretSource(env="CF_TOKEN")}))
    driven = done(host, proxying.reboot(work(secret, env_file=Secret("CF_TOKEN=x\n"))))
    assert host.files[f"{host.home}/.kamal/env/traefik/traefik.env"] == "CF_TOKEN=x\n"
    assert driven.names.index("env file") < driven.names.index("create Traefik")


# -- start, stop, restart, remove ------------------------------------------------------------------------------


def test_stop_and_start_leave_kamals_audit_lines(host: PretendHost) -> None:
    assert "nothing answers there" in done(host, proxying.stop(work(performer="eve"))).value.sentence
    assert not host.proxy_answers()
    assert done(host, proxying.start(work(performer="eve"))).value.sentence == "Traefik runs."
    assert host.proxy_answers()
    lines = audit(host).splitlines()
    assert lines[-2].endswith("[eve] Stopped traefik")
    assert lines[-1].endswith("[eve] Started traefik")


def test_stop_of_one_that_does_not_run_says_so(host: PretendHost) -> None:
    host.find("traefik").status = "exited"
    assert done(host, proxying.stop(work())).value.sentence == "Traefik did not run."
    assert not host.did


def test_start_where_there_is_none_names_the_task_that_makes_one(host: PretendHost) -> None:
    del host.containers[host.find("traefik").id]
    assert "invoke traefik.boot" in refused(host, proxying.start(work())).hint


def test_restart_waits_until_everything_is_routed_again(host: PretendHost) -> None:
    before = host.find("traefik").id
    driven = done(host, proxying.restart(work()))
    assert driven.value.data["gap"] > 0.3
    assert host.serving == "v1"
    assert host.find("traefik").id == before


def test_restart_of_one_that_does_not_route_afterwards_fails(host: PretendHost) -> None:
    host.traefik.deaf_from = host.time.now
    assert "does not route as before (app-web-v1" in refused(host, proxying.restart(work())).why


def test_remove_takes_container_and_image(host: PretendHost) -> None:
    driven = done(host, proxying.remove(work()))
    assert driven.value.sentence == (
        "Traefik was stopped and removed, its image too. To have it again, invoke traefik.boot."
    )
    assert host.find("traefik") is None
    assert "traefik:v3.7" not in host.images
    assert [line.partition("] ")[2] for line in audit(host).splitlines()[-3:]] == [
        "Stopped traefik", "Removed traefik container", "Removed traefik image",
    ]  # fmt: skip


CHANGES: dict[str, Callable[[Proxying], Flow[Any]]] = {
    "boot": proxying.boot, "reboot": proxying.reboot, "start": proxying.start, "stop": proxying.stop,
    "restart": proxying.restart, "remove": proxying.remove,
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(CHANGES))
def test_nothing_is_changed_without_the_lock(host: PretendHost, name: str) -> None:
    host.files[host.path(".kamal/lock")] = "somebody-else\n"
    driven = ran(host, CHANGES[name](work(fence=(".kamal/lock", "ours"))))
    assert isinstance(driven.error, BootError | CommandFailed)
    assert not host.did
    assert host.proxy_answers()


@pytest.mark.parametrize("name", sorted(CHANGES))
def test_a_docker_that_does_not_answer_is_never_taken_for_no_traefik(host: PretendHost, name: str) -> None:
    host.docker_answers = False
    if name == "start":
        host.fail("start traefik", said="Cannot connect to the Docker daemon")
    assert ran(host, CHANGES[name](work())).error is not None


def test_every_version_boots_behind_a_rebooted_traefik(host: PretendHost) -> None:
    done(host, proxying.reboot(work()))
    traffic = host.traffic()
    assert booted(host, "v2").error is None
    assert not traffic.end().lost


def test_an_answer_that_says_nothing_is_no_success() -> None:
    def nothing(run: Run) -> tuple[()]:
        return ()

    assert drive(proxying.reboot(work()), nothing).error is not None
