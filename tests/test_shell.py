"""Words into shell lines: one place quotes, one place hides secrets."""

from __future__ import annotations

import copy
import pickle
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kamalnb.errors import Unclear
from kamalnb.shell import REDACTED, Command, Question, Raw, Result, Secret, look, quote

WORDS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)


@given(st.lists(WORDS, min_size=1, max_size=6))
@settings(max_examples=40, deadline=None)
def test_any_words_arrive_as_they_are(words: list[str]) -> None:
    line = Command(name="say", words=("printf", "%s\\0", *words)).line()
    said = subprocess.run(["sh", "-c", line], capture_output=True, check=True).stdout.decode()
    assert said.split("\0")[:-1] == words


@given(WORDS)
@settings(max_examples=20, deadline=None)
def test_any_text_arrives_on_stdin_and_in_no_argument(text: str) -> None:
    line = Command(name="write", words=("cat",), stdin=Secret(text)).line()
    assert subprocess.run(["sh", "-c", line], capture_output=True, check=True).stdout.decode() == text


def test_nul_cannot_be_passed() -> None:
    with pytest.raises(ValueError, match="NUL"):
        quote("a\0b")


def test_raw_words_are_spelled_as_they_are() -> None:
    assert Command(name="x", words=("echo", Raw("$HOME"))).line() == "echo $HOME"


def test_secret_is_in_the_line_for_the_wire_alone() -> None:
    command = Command(name="login", words=("docker", "login", "--password", Secret("hunter2")), stdin=Secret("hunter3"))
    assert "hunter2" in command.line()
    assert "hunter3" in command.line()
    for shown in (str(command), repr(command), f"{command}"):
        assert "hunter" not in shown
    assert REDACTED in str(command)


@pytest.mark.parametrize("way", [str, repr, "{}".format, "{!r}".format, lambda one: f"{one:>20}"])
def test_secret_prints_as_redacted_in_every_way(way: object) -> None:
    assert "hunter2" not in way(Secret("hunter2"))
    assert REDACTED in way(Secret("hunter2"))


def test_secret_does_not_leave_the_process_in_a_copy_or_a_pickle() -> None:
    secret = Secret("hunter2")
    assert b"hunter2" not in pickle.dumps(secret)
    assert copy.deepcopy(secret).value == REDACTED


@pytest.mark.parametrize(("exited", "ok"), [(0, True), (1, False), (None, False)])
def test_no_exit_status_is_never_success(exited: int | None, ok: bool) -> None:
    assert Result(name="x", line="x", exited=exited).ok is ok


@pytest.mark.parametrize(
    "error", [ValueError("x"), KeyError("x"), TypeError("x"), AttributeError("x"), IndexError("x")]
)
def test_question_whose_parser_stumbles_is_unclear(error: Exception) -> None:
    def parse(text: str) -> str:
        raise error

    with pytest.raises(Unclear, match="look around"):
        Question(look("look around", "true"), parse).read("text")


def test_look_changes_nothing_and_may_fail_when_asked() -> None:
    assert not look("x", "true").changes
    assert look("x", "true").failing_ok().may_fail
    assert Command(name="x", words=("true",), details=(("cord", "/c"),)).detail("cord") == "/c"
    assert Command(name="x", words=("true",)).detail("cord") is None
