"""The registry's tags: real HTTP on this machine, every way to be let in, and every way to be refused."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from kamalnb.config.reading import read_config
from kamalnb.project import Project
from kamalnb.shell import Secret
from kamalnb.tags import Listed, listed, newest_first

LOGIN = "Basic " + base64.b64encode(b"ana:c4n4ry").decode()
Answer = Callable[["Asked"], None]


class Asked(BaseHTTPRequestHandler):
    """One request to a registry that a test plays."""

    play: Answer
    seen: list[tuple[str, str]]

    def do_GET(self) -> None:
        self.seen.append((self.path, self.headers.get("Authorization", "")))
        type(self).play(self)

    def say(self, code: int, document: object = None, **headers: str) -> None:
        body = json.dumps(document).encode() if not isinstance(document, bytes) else document
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.server.server_address[1]}"

    def log_message(self, *words: object) -> None:
        pass


@contextmanager
def registry(play: Answer) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """A registry on a port of this machine, and what it was asked: (path, Authorization) pairs."""
    seen: list[tuple[str, str]] = []
    handler = type("Handler", (Asked,), {"play": play, "seen": seen})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}", seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def project(
    server: str, *, image: str = "team/app", login: bool = True, environ: dict[str, str] | None = None
) -> Project:
    given = {"PASSWORD": "c4n4ry"} if environ is None else environ
    login_ = "username: ana, password: [PASSWORD]" if login else ""
    text = f"service: app\nimage: {image}\nregistry: {{server: '{server}', {login_}}}\nservers: [web-1]\n"
    return Project(
        root=Path("/"),
        config=read_config(text, environ=given),
        sources=(Path("/deploy.yml"),),
        digest="",
        environ=given,
    )


def test_a_registry_that_asks_nobody_is_read_without_a_login() -> None:
    with registry(lambda asked: asked.say(200, {"name": "team/app", "tags": ["v1", "v2"]})) as (place, seen):
        assert listed(project(place)) == Listed(tags=("v2", "v1"))
    assert seen == [("/v2/team/app/tags/list?n=1000", "")]  # the password stays here where nobody asks for it


def basic(asked: Asked) -> None:
    if asked.headers.get("Authorization") == LOGIN:
        asked.say(200, {"tags": ["v1"]})
    else:
        asked.say(401, {}, WWW_Authenticate='Basic realm="lab"')


def test_basic_login_is_that_of_the_file() -> None:
    with registry(basic) as (place, seen):
        assert listed(project(place)).tags == ("v1",)
    assert [authorization for _path, authorization in seen] == ["", LOGIN]


def test_token_login_asks_where_the_registry_says_and_comes_back_with_the_token() -> None:
    def play(asked: Asked) -> None:
        if asked.path.startswith("/token?"):
            asked.say(200, {"token": "t0ken"} if asked.headers.get("Authorization") == LOGIN else {"token": "poor"})
        elif asked.headers.get("Authorization") == "Bearer t0ken":
            asked.say(200, {"tags": ["v1"]})
        else:
            scope = f'Bearer realm="http://{asked.place}/token",service="hub",scope="repository:team/app:pull"'
            asked.say(401, {}, WWW_Authenticate=scope)

    with registry(play) as (place, seen):
        assert listed(project(place)).tags == ("v1",)
    assert seen[1][0] == "/token?scope=repository%3Ateam%2Fapp%3Apull&service=hub"


@pytest.mark.parametrize(("login", "words"), [(True, "with this login"), (False, "without a login")])
def test_refused_listing_is_one_sentence_without_a_secret(login: bool, words: str) -> None:
    with registry(lambda asked: asked.say(401, {}, WWW_Authenticate='Basic realm="x"')) as (place, _seen):
        found = listed(project(place, login=login))
    assert found == Listed(note=f"The registry {place} does not let its tags be listed {words}.")


@pytest.mark.parametrize(
    ("code", "body", "words"),
    [
        (403, {}, "does not let its tags be listed with this login."),
        (404, {}, "knows no such image."),
        (500, b"<html>c4n4ry</html>", "does not list tags (HTTP 500)."),
        (200, b"<html>", "answers with something else than a list of tags."),
        (200, ["v1"], "answers with something else than a list of tags."),
        (200, b"x" * (1 << 21), "answers with something else than a list of tags."),
    ],
)
def test_other_answers_are_told_in_one_sentence(code: int, body: object, words: str) -> None:
    with registry(lambda asked: asked.say(code, body)) as (place, _seen):
        assert listed(project(place)) == Listed(note=f"The registry {place} {words}")


def test_registry_that_is_not_there_is_one_sentence() -> None:
    with registry(basic) as (place, _seen):
        pass  # its port is free again
    assert listed(project(place)).note == f"The registry {place} cannot be reached from here (Connection refused)."


def test_registry_that_drips_is_left_in_time() -> None:
    over = threading.Event()

    def drip(asked: Asked) -> None:
        asked.send_response(200)
        asked.end_headers()
        for _byte in range(100):
            if over.wait(0.05):
                return
            asked.wfile.write(b" ")

    with registry(drip) as (place, _seen):
        began = time.monotonic()
        note = listed(project(place), seconds=0.3).note
        over.set()
    assert note == f"The registry {place} did not list its tags within 0.3 s."
    assert time.monotonic() - began < 3


def test_pages_are_followed_and_what_is_too_many_is_said() -> None:
    def play(asked: Asked) -> None:
        number = int(asked.path.partition("page=")[2] or 0)
        many = [f"v{number * 1000 + one}" for one in range(1000)]
        asked.say(200, {"tags": many}, Link=f'</v2/team/app/tags/list?page={number + 1}>; rel="next"')

    with registry(play) as (place, seen):
        found = listed(project(place))
    assert (len(found.tags), found.tags[0]) == (2000, "v1999")
    assert found.note == f"The registry {place} has more tags than are listed."
    assert len(seen) == 2


def test_login_is_not_sent_to_another_place() -> None:
    def elsewhere(asked: Asked) -> None:
        asked.say(200, {"tags": ["v9"]})

    with registry(elsewhere) as (other, seen_there):

        def play(asked: Asked) -> None:
            if not asked.headers.get("Authorization"):
                asked.say(401, {}, WWW_Authenticate='Basic realm="x"')
            elif "page" in asked.path:
                asked.say(302, {}, Location=f"http://{other}/redirected")
            else:
                asked.say(200, {"tags": ["v1"]}, Link=f'<http://{other}/next>; rel="next"')

        with registry(play) as (place, _seen):
            assert listed(project(place)).tags == ("v1",)  # the next page is elsewhere: not followed
            assert seen_there == []
        with registry(
            lambda asked: (
                asked.say(302, {}, Location=f"http://{other}/redirected")
                if asked.headers.get("Authorization")
                else asked.say(401, {}, WWW_Authenticate='Basic realm="x"')
            )
        ) as (place, _seen):
            assert listed(project(place)).tags == ("v9",)
    assert seen_there == [("/redirected", "")]


def test_login_is_not_sent_without_tls_but_to_this_machine() -> None:
    def play(asked: Asked) -> None:
        asked.say(401, {}, WWW_Authenticate='Bearer realm="http://tokens.example/token",service="x"')

    with registry(play) as (place, seen):
        note = listed(project(place)).note
    assert note == f"The registry {place} sends its login to a place without TLS: it was not asked."
    assert [authorization for _path, authorization in seen] == [""]


def test_login_that_cannot_be_read_here_asks_nobody() -> None:
    with registry(basic) as (place, seen):
        note = listed(project(place, environ={})).note
    assert note == f"The registry {place} was not asked: its login cannot be read here."
    assert seen == []


def test_tags_that_cannot_be_versions_are_left_out_and_numbers_count() -> None:
    given = ("v9", "v10", "latest", "latest-staging", "sha256-ab.sig", "<b>", "-x", "1.2.10", "1.2.9", "v9")
    assert newest_first(given) == ("1.2.10", "1.2.9", "v10", "v9")


def test_an_image_of_docker_hub_is_asked_for_there() -> None:
    from kamalnb.tags import _Registry

    text = "service: app\nimage: {}\nservers: [web-1]\n"
    found = [_Registry(read_config(text.format(image), environ={}), None, 0.0) for image in ("app", "team/app")]
    assert [(one._url, one._name) for one in found] == [
        ("https://registry-1.docker.io", "library/app"),
        ("https://registry-1.docker.io", "team/app"),
    ]


def test_nothing_of_a_listing_shows_the_password() -> None:
    with registry(basic) as (place, _seen):
        made = project(place)
        assert "c4n4ry" not in repr(listed(made)) + repr(made)
    assert "c4n4ry" not in repr(Secret("c4n4ry"))
