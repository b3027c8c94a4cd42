"""The host itself: what it lacks is said before it is done, a person's command is one word, leaving leaves nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from boots import booted, config, role, serving
from changes import must, on_host

from kamalnb.errors import BootError, CommandFailed
from kamalnb.flows.env_files import pushed
from kamalnb.flows.servers import Readiness, bootstrapped, everything_removed, executed, readiness
from kamalnb.shell import Secret
from kamalnb.testing import Driven, PretendHost, drive

READY = {
    "user": "deploy", "rights": "none", "docker": "20.10.24", "packages": "apt", "flock": "yes",
    "os": "Debian GNU/Linux 12 (bookworm)", "directory": "yes",
}  # fmt: skip


def looked(**facts: str) -> Driven:
    text = "".join(f"{key} {value}\n" for key, value in {**READY, **facts}.items())
    return drive(readiness(on_host()), {"look at server": text})


def bootstrap(**facts: str) -> Driven:
    text = "".join(f"{key} {value}\n" for key, value in {**READY, **facts}.items())
    names = ("install packages", "start docker", "join group docker", "make run directory")
    return drive(bootstrapped(on_host()), {"look at server": text, **dict.fromkeys(names, "")})


def test_ready_host_says_so_and_nothing_is_done() -> None:
    found = looked().value
    assert isinstance(found, Readiness)
    assert found.ready
    assert found.sentence == "ready: Docker 20.10.24, Debian GNU/Linux 12 (bookworm), login as deploy."
    assert bootstrap().names == ["look at server"]


def test_bare_host_is_told_what_would_be_installed_and_then_it_is() -> None:
    bare = {"docker": "none", "rights": "sudo", "directory": "no"}
    assert looked(**bare).value.would == (
        "install docker.io with apt-get and start it", "put deploy into the group docker", "make the directory .kamal",
    )  # fmt: skip
    done = bootstrap(**bare)
    assert done.names[1:] == ["install packages", "start docker", "join group docker", "make run directory"]
    assert done.value.sentence.endswith("It counts from the next login on.")


def test_root_needs_no_group() -> None:
    done = bootstrap(docker="none", rights="root")
    assert done.names[1:] == ["install packages", "start docker"]


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({"docker": "none"}, "deploy may not use sudo without a password: install it (https://docs.docker.com"),
        ({"docker": "none", "packages": "none", "rights": "root"}, "no apt-get is there: install it"),
        ({"docker": "down"}, "start it (systemctl enable --now docker, as root)"),
        ({"docker": "denied"}, "usermod -aG docker deploy, as root"),
        ({"directory": "locked"}, ".kamal is not deploy's to write"),
        ({"flock": "no"}, "install util-linux"),
    ],
)
def test_what_only_a_person_can_do_is_said_and_nothing_is_changed(facts: dict[str, str], says: str) -> None:
    assert any(says in sentence for sentence in looked(**facts).value.blocked)
    done = bootstrap(**facts)
    assert isinstance(done.error, BootError)
    assert says in str(done.error)
    assert done.names == ["look at server"]


def test_half_ready_host_with_something_blocked_is_not_half_done() -> None:
    done = bootstrap(docker="denied", directory="no")
    assert isinstance(done.error, BootError)
    assert "make run directory" not in done.names


# -- exec -----------------------------------------------------------------------------------------------------------


def test_command_goes_to_sh_as_one_word() -> None:
    done = drive(executed(on_host(), "echo $HOME; ls | wc -l"), {"server exec": (3, "out", "err")})
    assert done.ran[0].words == ("sh", "-c", "echo $HOME; ls | wc -l")
    assert done.value.data["exited"] == 3
    assert (done.value.data["stdout"], done.value.data["stderr"]) == ("out", "err")
    assert done.value.sentence == "exit code 3."


def test_command_that_gave_no_exit_code_is_a_failure() -> None:
    assert isinstance(drive(executed(on_host(), "sleep 99"), {"server exec": None}).error, CommandFailed)


# -- remove ---------------------------------------------------------------------------------------------------------


def full() -> PretendHost:
    host = serving("v1")
    booted(host, "v2")
    booted(host, "v1", role("job"))
    must(host, pushed(on_host(), {"web": {"A": Secret("a")}, "job": {}, "traefik": {"B": Secret("b")}}))
    return host


def test_everything_of_the_service_goes_and_traefik_with_the_last_one() -> None:
    host = full()
    done = must(host, everything_removed(on_host()))
    assert list(host.containers) == []
    assert host.cords == {}
    assert [path for path in host.files if path.endswith((".env", "audit.log"))] == []
    assert [name for name in host.images if name.startswith("registry.example/app:")] == []
    assert "Traefik was removed: nothing else was reached through it." in done.sentence


def test_what_is_reached_through_traefik_keeps_it() -> None:
    host = full()
    other = replace(role(), service="shop")
    booted(host, "v3", other)
    traffic = host.traffic(to="shop.example")
    done = must(host, everything_removed(on_host()))
    assert [one.name for one in host.containers.values()] == ["traefik", "shop-web-v3"]
    assert "Traefik stays: shop-web-v3 is reached through it." in done.sentence
    traffic.end()


def test_another_destination_stays() -> None:
    host = full()
    booted(host, "v3", replace(role(), destination="staging"))
    must(host, everything_removed(on_host()))
    assert [one.name for one in host.containers.values()] == ["traefik", "app-web-staging-v3"]
    assert len(host.cords) == 1


def test_role_that_the_file_does_not_name_any_more_goes_too() -> None:
    host = full()
    booted(host, "v1", replace(role("job"), name="cron"))
    must(host, everything_removed(on_host()))
    assert list(host.containers) == []


def test_host_that_the_file_does_not_name_is_cleared_all_the_same() -> None:
    host = full()
    must(host, everything_removed(on_host(host="web-9")))
    assert list(host.containers) == []


def test_file_of_the_tests_names_two_roles() -> None:
    assert [one.name for one in config().roles_on("web-1")] == ["web", "job"]
