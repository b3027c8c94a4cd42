"""Hostile words in every place, through the shells that hosts have: they arrive as they are, and run nothing."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path

import pytest
from hostile_places import PLACES, Place, crowd_seen, crowded
from hostile_shells import SHELLS, Host, missing
from hostile_words import CORPUS, WORDS, mixtures
from hypothesis import given, settings
from hypothesis import strategies as st

from kamalnb.commands import env_files, server
from kamalnb.shell import Command, Secret

PER_PLACE = 8
"""Mixtures for each place and shell, besides its share of the corpus."""
CROWD, CROWDS = 700, 50
"""Words in one ``docker run``, and how many of those each shell runs: 105,000 words in three shells."""


@pytest.fixture(params=SHELLS)
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Host:
    return Host.make(tmp_path, request.param)


def put(place: Place, words: list[str]) -> list[tuple[str, Command]]:
    """A command for each word that can be meant; ``UsageError`` and the like refuse the others before any host."""
    found = []
    for word in words:
        try:
            found.append((word, place.make(word)))
        except ValueError as error:
            raise AssertionError(f"{place.name} cannot take {word!r}") from error
    return found


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
def test_a_word_in_this_place_arrives_as_it_is_and_runs_nothing(place: Place, tmp_path: Path) -> None:
    seed = PLACES.index(place)
    words = [*CORPUS[seed % 8 :: 8], *itertools.islice(mixtures(seed), PER_PLACE)]
    for shell in SHELLS:
        host = Host.make(tmp_path / shell, shell)
        (host.stub / "log").write_text("a line\n")
        commands = put(place, words)
        ran = host.run(*(command for _, command in commands))
        assert len(ran.results) == len(commands)
        if place.seen is not None:
            assert missing([place.seen(word) for word, _ in commands], ran.argv) == [], shell
        assert host.untouched(), shell


def test_a_hundred_thousand_words_arrive_as_they_are_and_run_nothing(host: Host) -> None:
    mixed = mixtures(1000 + SHELLS.index(host.shell))
    for _ in range(CROWDS // 5):
        crowds = [list(itertools.islice(mixed, CROWD)) for _ in range(5)]
        ran = host.run(*map(crowded, crowds), inside=False)
        assert missing([word for crowd in crowds for word in crowd_seen(crowd)], ran.argv) == []
        assert [result.exited for result in ran.results] == [0] * len(crowds)
        assert host.untouched()


@pytest.mark.parametrize("shell", SHELLS)
@given(words=st.lists(WORDS, min_size=1, max_size=21))
@settings(max_examples=25, deadline=None)
def test_any_words_in_a_docker_run_arrive_as_they_are(shell: str, words: list[str]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        host = Host.make(Path(directory), shell)
        ran = host.run(crowded(words))
        assert missing(list(crowd_seen(words)), ran.argv) == []
        assert host.untouched()


def test_the_whole_argv_is_what_was_meant_and_nothing_is_put_in_between(host: Host) -> None:
    words = [*CORPUS, *itertools.islice(mixtures(7), 200)]
    command = Command(name="x", words=("docker", "x", *words))
    assert host.run(command).argv == ["x", *words]
    assert host.run(command, inside=False).argv == ["x", *words]


def test_an_audit_line_stays_one_line_whatever_is_said(host: Host) -> None:
    words = [*CORPUS, *itertools.islice(mixtures(8), 100)]
    ran = host.run(*(server.audit(".kamal/a.log", (word,), word) for word in words))
    assert all(result.ok for result in ran.results)
    lines = (host.home / ".kamal/a.log").read_bytes().decode().split("\n")[:-1]
    assert len(lines) == len(words)
    assert all(line.isprintable() and line.startswith("[20") and len(line) < 2100 for line in lines)


def test_a_file_is_what_was_written_and_lies_where_it_should(host: Host) -> None:
    words = [word for word in (*CORPUS, *itertools.islice(mixtures(9), 100)) if len(word) < 200]
    names = [f"{number}{word}".replace("/", "_") for number, word in enumerate(words)]
    commands = [server.write_file(f".kamal/{name}/f", word) for name, word in zip(names, words, strict=True)]
    assert all(result.ok for result in host.run(*commands).results)
    for name, word in zip(names, words, strict=True):
        assert (host.home / ".kamal" / name / "f").read_bytes() == word.encode()


def test_an_env_file_with_hostile_values_tells_its_keys_alone(host: Host) -> None:
    words = [word.replace("\n", "") for word in (*CORPUS, *itertools.islice(mixtures(10), 100))]
    text = "".join(f"K{number}={word}\n" for number, word in enumerate(words))
    first, second = host.run(*[env_files.push(".kamal/env/e", Secret(text))] * 2).results
    assert env_files.difference(first.stdout).added == tuple(f"K{number}" for number in range(len(words)))
    assert env_files.difference(second.stdout).same == tuple(f"K{number}" for number in range(len(words)))
    assert (host.home / ".kamal/env/e").read_bytes() == text.encode()
    assert host.untouched()
