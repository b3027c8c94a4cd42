"""The registry: the login never shows its password, and each way to fail is one sentence that says what to do."""

from __future__ import annotations

from dataclasses import replace

import pytest
from boots import REPOSITORY, config, serving
from changes import must, on_host, told

from kamalnb.commands.registry import Login, build_line, credentials, login
from kamalnb.config.model import Registry, SecretSource
from kamalnb.errors import BootError
from kamalnb.flows.registry import logged_in, logged_out, pulled
from kamalnb.shell import Secret
from kamalnb.testing import PretendHost, drive, drive_on
from kamalnb.testing.apps import PretendImage

WHO = Login(username="jana", password=Secret("hunter2"), server="registry.example")


def refusal(said: str, code: int = 1) -> BootError:
    done = drive(logged_in(on_host(), WHO), {"registry login": (code, "", said)})
    assert isinstance(done.error, BootError)
    return done.error


def test_password_is_fed_on_stdin_and_shown_nowhere() -> None:
    command = login(WHO)
    assert "hunter2" not in " ".join(map(str, command.words))
    assert "hunter2" not in str(command)
    assert command.line().startswith("printf %s hunter2 | docker login --username jana --password-stdin registry.")


def test_login_says_who_is_logged_in_where() -> None:
    host = PretendHost()
    assert must(host, logged_in(on_host(), WHO)).sentence == "logged in to registry.example as jana."
    assert host.logins == {"registry.example": "jana"}


def test_logout_forgets_it() -> None:
    host = PretendHost()
    must(host, logged_in(on_host(), WHO))
    must(host, logged_out(on_host()))
    assert host.logins == {}


def test_default_registry_is_named_in_words() -> None:
    assert must(PretendHost(), logged_in(on_host(), replace(WHO, server=None))).sentence.endswith("Docker Hub as jana.")


@pytest.mark.parametrize(
    "said",
    [
        "Error response from daemon: login attempt to http://r:5001/v2/ failed with status: 401 Unauthorized",
        'Error response from daemon: Get "https://index.docker.io/v1/": unauthorized: incorrect username or password',
        'Error: Get "https://r/v2/": denied: denied',
    ],
)
def test_wrong_password_names_the_user_and_not_the_password(said: str) -> None:
    error = refusal(said)
    assert error.why == "The registry registry.example does not take this user and password (jana)."
    assert error.serving == "Nothing was changed there."
    assert "hunter2" not in str(error)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (
            'Error response from daemon: Get "https://r/v2/": dial tcp 10.0.0.5:5000: connect: connection refused',
            "be reached",
        ),
        ('Get "https://r/v2/": dial tcp: lookup r: no such host', "cannot be reached"),
        ('Get "https://r/v2/": net/http: request canceled (Client.Timeout exceeded)', "cannot be reached"),
        ('Get "https://r/v2/": http: server gave HTTP response to HTTPS client', "speaks plain HTTP"),
        ('Get "https://r/v2/": x509: certificate signed by unknown authority', "does not trust the certificate"),
    ],
)
def test_way_to_the_registry_that_is_not_there_is_told_apart_from_a_wrong_password(said: str, why: str) -> None:
    error = refusal(said)
    assert why in error.why
    assert "password" not in error.why
    assert error.hint


def test_anything_else_is_repeated_as_docker_said_it() -> None:
    assert "Docker cannot log in to registry.example: the moon is full." in str(refusal("the moon is full"))


def test_credentials_are_read_from_where_the_file_says() -> None:
    user, password = SecretSource(env="USER_NAME"), SecretSource(env="PASSWORD")
    found = credentials(
        replace(config(), registry=Registry(server="r", username=user, password=password)),
        lambda source: Secret(f"value of {source.env}"),
    )
    assert found == Login(username=Secret("value of USER_NAME"), password=Secret("value of PASSWORD"), server="r")


def test_file_without_a_user_needs_no_login() -> None:
    assert credentials(config(), lambda source: Secret("")) is None


# -- pull -----------------------------------------------------------------------------------------------------------


def labelled(host: PretendHost, tag: str, label: str | None) -> str:
    reference = f"{REPOSITORY}:{tag}"
    image = host.registry[reference]
    labels = {} if label is None else {"service": label}
    host.registry[reference] = PretendImage(id=image.id, app=image.app, tags=image.tags, labels=labels)
    host.images.pop(reference, None)
    return reference


def test_image_is_pulled_once_and_noticed_the_second_time() -> None:
    host = PretendHost()
    reference = labelled(host, "v2", "app")
    assert must(host, pulled(on_host(), reference)).sentence == f"{reference} was pulled."
    host.did.clear()
    assert must(host, pulled(on_host(), reference)).sentence == f"{reference} is there already."
    assert host.did == []


def test_again_asks_the_registry_all_the_same() -> None:
    host = PretendHost()
    done = must(host, pulled(on_host(), labelled(host, "v2", "app"), again=True))
    assert done.data["pulled"] is True
    done = must(host, pulled(on_host(), f"{REPOSITORY}:v2", again=True))
    assert done.sentence.endswith("is there already, and is what the registry has.")
    assert host.did.count("pull image") == 2


@pytest.mark.parametrize(("label", "says"), [(None, "has no label service"), ("shop", "says service=shop")])
def test_label_that_kamal_would_refuse_is_said(label: str | None, says: str) -> None:
    host = PretendHost()
    done = drive_on(host, pulled(on_host(), labelled(host, "v2", label)))
    assert says in told(done)
    assert "--label service=app" in told(done)


def test_missing_tag_gets_the_line_that_builds_and_pushes_it() -> None:
    host = serving("v1")
    done = drive_on(host, pulled(on_host(), f"{REPOSITORY}:v99"))
    assert isinstance(done.error, BootError)
    line = f"docker build --label service=app -t {REPOSITORY}:v99 . && docker push {REPOSITORY}:v99"
    assert done.error.why == f"The registry has no {REPOSITORY}:v99, and kamalnb does not build."
    assert done.error.hint == f"Build and push it: {line}"
    assert host.serving == "v1"


def test_build_line_quotes_what_a_shell_would_take_apart() -> None:
    assert build_line("a b", "r/x:$(y)") == (
        "docker build --label 'service=a b' -t 'r/x:$(y)' . && docker push 'r/x:$(y)'"
    )


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        ('Head "http://r:5001/v2/app/manifests/v1": no basic auth credentials', "invoke registry.login"),
        ("pull access denied for app, repository does not exist or may require 'docker login'", "registry.login"),
        ('Get "http://r/v2/": dial tcp 10.0.0.5:5000: connect: connection refused', "Look whether it runs"),
    ],
)
def test_registry_that_refuses_or_is_away_says_what_to_do(said: str, hint: str) -> None:
    host = PretendHost()
    reference = labelled(host, "v2", "app")
    host.fail("pull image", said=f"Error response from daemon: {said}")
    done = drive_on(host, pulled(on_host(), reference))
    assert isinstance(done.error, BootError)
    assert hint in done.error.hint
    assert done.error.serving == "Nothing was changed there."
