"""The lab's registry with a login: a right and a wrong password, a missing tag, a registry that is not there."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator

import pytest
from conftest import MakeShop
from shop import Shop, until
from surroundings import Surroundings, done, refused

from kamalnb import events
from kamalnb.commands.registry import Login, credentials
from kamalnb.fleet import Fleet
from kamalnb.flows.registry import logged_in, logged_out, pulled
from kamalnb.lab.registry import LOGIN_REGISTRY, LOGIN_USER
from kamalnb.shell import Secret
from kamalnb.tags import Listed

IMAGE = f"{LOGIN_REGISTRY}/app"
FORGET = """i=$(docker image ls "$1" --format '{{.Repository}}:{{.Tag}}'); [ -z "$i" ] || docker rmi $i >/dev/null"""


@pytest.fixture(scope="module")
def shop(make_shop: MakeShop) -> Shop:
    return make_shop("loginshop")


@pytest.fixture
def around(shop: Shop) -> Iterator[Surroundings]:
    """Hosts that are logged out and have no image of that registry, before and after."""
    surroundings = Surroundings(
        shop, registry={"server": LOGIN_REGISTRY, "username": LOGIN_USER, "password": ["LAB_REGISTRY_PASSWORD"]}
    )
    forget(shop, surroundings)
    yield surroundings
    forget(shop, surroundings)


def forget(shop: Shop, around: Surroundings) -> None:
    around.each(logged_out)
    for host in shop.hosts:
        shop.shell(host, FORGET, IMAGE)


def login(shop: Shop, **changes: object) -> Login:
    right = {"username": LOGIN_USER, "password": Secret(shop.lab.registry_login.password), "server": LOGIN_REGISTRY}
    return Login(**{**right, **changes})


def has_login(shop: Shop, host: str) -> bool:
    return LOGIN_REGISTRY in shop.as_deploy(host, "cat .docker/config.json 2>/dev/null").stdout


def test_right_password_logs_in_and_lets_the_host_pull(shop: Shop, around: Surroundings) -> None:
    outcomes = around.each(lambda change: logged_in(change, login(shop)))
    assert done(outcomes) == f"logged in to {LOGIN_REGISTRY} as {LOGIN_USER}."
    assert has_login(shop, "web-1")
    assert has_login(shop, "web-2")
    pulls = around.each(lambda change: pulled(change, f"{IMAGE}:v2"))
    assert [done(pulls, host) for host in shop.hosts] == [f"{IMAGE}:v2 was pulled."] * 2
    assert shop.shell("web-2", f"docker image ls -q {IMAGE}:v2").strip()
    again = around.each(lambda change: pulled(change, f"{IMAGE}:v2"))
    assert done(again) == f"{IMAGE}:v2 is there already."
    around.each(logged_out)
    assert not has_login(shop, "web-1")


def test_password_of_the_file_is_what_logs_in(
    shop: Shop, around: Surroundings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_REGISTRY_PASSWORD", shop.lab.registry_login.password)
    surroundings = Surroundings(
        shop, registry={"server": LOGIN_REGISTRY, "username": LOGIN_USER, "password": ["LAB_REGISTRY_PASSWORD"]}
    )
    who = credentials(surroundings.project.config, surroundings.project.secret)
    assert who is not None
    assert done(surroundings.each(lambda change: logged_in(change, who))).endswith(f"as {LOGIN_USER}.")


def test_password_is_in_no_event_and_in_no_process_list(shop: Shop, around: Surroundings) -> None:
    password = shop.lab.registry_login.password
    around.each(lambda change: logged_in(change, login(shop)))
    assert any(isinstance(event, events.StepFinished) and event.name == "registry login" for event in around.events)
    assert password not in repr(around.events)


def test_wrong_password_is_one_sentence_and_nothing_half_done(shop: Shop, around: Surroundings) -> None:
    outcomes = around.each(lambda change: logged_in(change, login(shop, password=Secret("wrong-canary"))))
    for host in shop.hosts:
        told = refused(outcomes, host)
        assert told.startswith(f"The registry {LOGIN_REGISTRY} does not take this user and password ({LOGIN_USER}).")
        assert "wrong-canary" not in told
        assert not has_login(shop, host)
    assert "wrong-canary" not in repr(around.events)


def test_pull_without_a_login_says_to_log_in(shop: Shop, around: Surroundings) -> None:
    told = refused(around.each(lambda change: pulled(change, f"{IMAGE}:v3")))
    assert "invoke registry.login" in told
    assert not shop.shell("web-1", f"docker image ls -q {IMAGE}:v3").strip()


def test_missing_tag_gets_the_line_that_builds_it(shop: Shop, around: Surroundings) -> None:
    around.each(lambda change: logged_in(change, login(shop)))
    told = refused(around.each(lambda change: pulled(change, f"{IMAGE}:no-such-tag")))
    assert told == (
        f"The registry has no {IMAGE}:no-such-tag, and kamalnb does not build. Nothing was changed there. "
        f"Build and push it: docker build --label service=loginshop -t {IMAGE}:no-such-tag . "
        f"&& docker push {IMAGE}:no-such-tag"
    )


def test_label_of_another_service_is_said(shop: Shop, around: Surroundings) -> None:
    around.each(lambda change: logged_in(change, login(shop)))
    around.each(lambda change: pulled(change, f"{IMAGE}:v2"), hosts=("web-1",))
    told = [event.fact.text for event in around.events if isinstance(event, events.FactLearned)]
    assert any("says service=app: Kamal would refuse it" in text for text in told), told


@pytest.mark.parametrize("what", ["login", "pull"])
def test_registry_that_is_down_is_one_sentence(shop: Shop, around: Surroundings, what: str) -> None:
    nobody = "registry:5999"  # nothing listens there
    if what == "login":
        outcomes = around.each(lambda change: logged_in(change, login(shop, server=nobody)))
    else:
        away = Surroundings(shop, registry={"server": nobody})
        outcomes = away.each(lambda change: pulled(change, f"{nobody}/app:v2"))
    for host in shop.hosts:
        told = refused(outcomes, host)
        assert f"The registry {nobody} cannot be reached from the host" in told
        assert "connection refused" in told


def test_registry_without_tls_is_told_apart(shop: Shop, around: Surroundings) -> None:
    inside = shop.shell("web-1", "getent hosts registry").split()[0]
    plain = f"{inside}:5001"  # not among the insecure registries under that name
    told = refused(around.each(lambda change: logged_in(change, login(shop, server=plain)), hosts=("web-1",)))
    assert told.startswith(f"The registry {plain} speaks plain HTTP, and Docker there wants TLS.")


@pytest.fixture
def at_home(shop: Shop) -> Iterator[str]:
    """The registry with a login as it is from here: a port of this machine, through a host's own sshd."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["ssh", "-F", str(shop.lab.ssh_config), "-N", "-o", "ExitOnForwardFailure=yes"]
    tunnel = subprocess.Popen([*words, "-L", f"127.0.0.1:{port}:{LOGIN_REGISTRY}", "web-1"])
    try:
        until(lambda: listens(port), "the tunnel")
        yield f"127.0.0.1:{port}"
    finally:
        tunnel.terminate()
        tunnel.wait(timeout=10)


def listens(port: int) -> bool:
    with socket.socket() as found:
        found.settimeout(1)
        return found.connect_ex(("127.0.0.1", port)) == 0


def tags(shop: Shop, place: str, password: str) -> Listed:
    registry = {"server": place, "username": LOGIN_USER, "password": ["LAB_REGISTRY_PASSWORD"]}
    environ = {**os.environ, "LAB_REGISTRY_PASSWORD": password}
    return Fleet(config_file=shop.config(registry=registry), environ=environ).registry_tags()


def test_tags_are_listed_with_the_login_of_the_file(shop: Shop, at_home: str) -> None:
    found = tags(shop, at_home, shop.lab.registry_login.password)
    assert found.note == ""
    assert {"v1", "v2", "v3", "v4", "never-healthy"} <= set(found.tags)
    assert "latest" not in found.tags


def test_tags_without_the_right_login_are_one_sentence(shop: Shop, at_home: str) -> None:
    wrong = tags(shop, at_home, "wrong-canary")
    assert wrong == Listed(note=f"The registry {at_home} does not let its tags be listed with this login.")
    nobody = Fleet(config_file=shop.config(registry={"server": at_home})).registry_tags()
    assert nobody == Listed(note=f"The registry {at_home} does not let its tags be listed without a login.")


def test_lab_keeps_its_password_to_itself(shop: Shop) -> None:
    files = shop.lab.registry_login
    assert files.file.stat().st_mode & 0o077 == 0
    assert files.htpasswd.stat().st_mode & 0o077 == 0
    assert files.password not in files.htpasswd.read_text()
