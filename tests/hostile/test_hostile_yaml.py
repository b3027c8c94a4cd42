"""A hostile or broken file is a ConfigError in bounded work: bombs, depth, size, keys, tabs, marks, and mutations."""

from __future__ import annotations

import random
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
from hostile_words import CORPUS, WORDS, mixtures
from hypothesis import given, settings
from hypothesis import strategies as st

from kamalnb.config import model
from kamalnb.config.model import Config
from kamalnb.config.reading import read_config
from kamalnb.errors import ConfigError

REFERENCE = (Path(model.__file__).parent / "deploy.reference.yml").read_text()
BASE = "service: app\nimage: app\nservers: [web-1]\n"
MOST_MEMORY = 400 * 1024
"""KiB."""


def outcome(text: str, overlay: str | None = None) -> Config | ConfigError:
    """What the file comes to; whatever else is raised fails the test."""
    destination = None if overlay is None else "staging"
    try:
        return read_config(text, overlay, environ={"A": "x"}, destination=destination)
    except ConfigError as error:
        refused = error
    assert refused.problems
    assert all(len(path) < 700 and len(sentence) < 700 for path, sentence in refused.problems)
    str(refused).encode()
    return refused


def bombs() -> Iterator[tuple[str, str]]:
    levels = "".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]\n" for n in range(1, 12))
    yield "laughs in x-", "x-0: &l0 [lol]\n" + levels.replace("\nl", "\nx-l").replace("l1:", "x-l1:", 1)
    yield "laughs", "l0: &l0 [lol]\n" + levels
    merges = "".join(f"x-m{n}: &m{n} {{<<: [*m{n - 1}, *m{n - 1}], k{n}: v}}\n" for n in range(1, 40))
    yield "merges", "x-m0: &m0 {k0: v}\n" + merges
    yield "an alias of itself", "x-a: &a [*a]\n"
    yield "a mapping of itself", "x-a: &a {b: *a}\n"
    yield "a merge of itself", "x-a: &a {<<: *a}\n"
    for opener, closer in (("[", "]"), ("{a: ", "}"), ("- ", ""), ("? ", ""), ("[", ""), ("{", ""), ("!!seq [", "]")):
        yield f"depth of {opener}", "x-a:\n  " + opener * 20_000 + closer * 20_000 + "\n"
    yield "depth by indentation", "x-a:\n" + "".join(f"{' ' * (n + 1)}k:\n" for n in range(600))
    yield "a huge key", f"x-{'k' * 200_000}: v\n"
    yield "a huge plain key", f"{'k' * 5000}: v\n"
    yield "a huge value", f"x-a: {'v' * 200_000}\n"
    yield "many keys", "".join(f"x-{n}: v\n" for n in range(30_000))
    yield "many values", "x-a: [" + "1, " * 80_000 + "1]\n"
    yield "many duplicates", "service: app\n" * 15_000
    yield "many anchors", "".join(f"x-{n}: &a{n} v\n" for n in range(12_000))
    yield "many documents", "---\n" * 50_000
    yield "many comments", "#\n" * 100_000
    yield "many tabs", "\t" * 100_000
    yield "many quotes", '"' * 100_001
    yield "many escapes", 'x-a: "' + "\\x41" * 50_000 + '"\n'
    yield "many folds", "x-a: >\n" + "  a\n\n" * 40_000
    yield "too many bytes", "#" * (300 * 1024)
    yield "a huge number", f"retain_containers: {'9' * 100_000}\n"
    yield "a huge sexagesimal", f"retain_containers: {':'.join(['59'] * 20_000)}\n"
    yield "a huge float", f"healthcheck: {{interval: {'1' * 5000}.{'1' * 5000}e{'9' * 500}}}\n"
    yield "a huge version", f"minimum_version: '{'1.' * 50_000}1'\n"
    yield "a huge duration", f"healthcheck: {{interval: '{'1h' * 20_000}'}}\n"
    yield "a huge host", f"hosts_down: ['{'a.' * 50_000}']\n"
    yield "a huge image", f"traefik: {{image: '{'a/' * 50_000}'}}\n"
    yield "a huge command", f'release: "{"a " * 50_000}"\n'
    yield "many tags of ERB", "<%= ENV['A'] %>" * 15_000
    yield "an ERB tag without an end", "x-a: " + "<%=" * 50_000
    yield "a pickle", "x-a: !!python/object/apply:os.system ['touch pwned']\n"
    yield "an object", "x-a: !!python/object/new:subprocess.Popen [[touch, pwned]]\n"
    yield "a name", "x-a: !!python/name:os.system\n"


@pytest.mark.parametrize(("name", "text"), list(bombs()), ids=[name for name, _ in bombs()])
def test_a_bomb_is_read_or_refused_in_bounded_memory(name: str, text: str, tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for whole in (BASE + text, text):
        outcome(whole)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MOST_MEMORY
    assert not Path("pwned").exists()


@pytest.mark.parametrize(
    "name", ["laughs", "an alias of itself", "too many bytes", "depth of [", "many values", "a pickle"]
)
def test_what_no_person_writes_is_refused(name: str) -> None:
    assert isinstance(outcome(BASE + dict(bombs())[name]), ConfigError)


@pytest.mark.parametrize("mark", ["\ufeff", "\ufeff---\n", "---\n", "%YAML 1.1\n---\n", "\r\n", "\n\n\n", "# ä\n"])
def test_what_editors_put_at_the_start_is_read(mark: str) -> None:
    assert isinstance(outcome(mark + BASE), Config)
    assert isinstance(outcome((mark + BASE).replace("\n", "\r\n")), Config)


@pytest.mark.parametrize("inside", ["\ufeff", "\t", "\x00", "\x1b", "\x85", "\u2028", "\ud800", "\x7f", "\r", "\ufffe"])
def test_a_mark_in_the_middle_is_read_or_refused(inside: str) -> None:
    for at in range(len(BASE)):
        outcome(BASE[:at] + inside + BASE[at:])


@pytest.mark.parametrize("key", ["service", "image", "servers"])
def test_a_key_written_twice_is_refused_and_both_lines_named(key: str) -> None:
    found = outcome(BASE + f"{key}: other\n")
    assert isinstance(found, ConfigError)
    assert any("twice" in sentence for _, sentence in found.problems)


def mutated(chance: random.Random, text: str) -> str:
    """``text`` as a slip of the hand, or an evil mind, leaves it."""
    lines = text.split("\n")
    for _ in range(chance.randrange(1, 4)):
        at = chance.randrange(len(lines))
        match chance.randrange(9):
            case 0:
                del lines[at]
                lines = lines or [""]
            case 1:
                lines.insert(at, lines[chance.randrange(len(lines))])
            case 2:
                lines[at] = lines[at].replace("  ", "\t", 1)
            case 3:
                lines[at] = " " * chance.randrange(9) + lines[at].lstrip()
            case 4:
                lines[at] = lines[at].replace("# ", "", 1)
            case 5:
                key, colon, _ = lines[at].partition(":")
                lines[at] = f"{key}{colon} {chance.choice(CORPUS[:-1])}"
            case 6:
                lines[at] = lines[at].replace(":", chance.choice(("", "::", ": :", ": &a", ": *a", ": !x", ": |")), 1)
            case 7:
                where = chance.randrange(len(lines[at]) + 1)
                lines[at] = (
                    lines[at][:where]
                    + chance.choice(("'", '"', "[", "}", "#", "\ufeff", "\x00", "<%"))
                    + lines[at][where:]
                )
            case _:
                lines = lines[:at] or [""]
    return "\n".join(lines)


def test_mutations_of_the_reference_file_are_read_or_refused() -> None:
    chance = random.Random(11)
    found = [type(outcome(mutated(chance, REFERENCE))) for _ in range(150)]
    assert found.count(ConfigError) > 20


@pytest.mark.parametrize(
    "key", ["service", "image", "run_directory", "hooks_path", "primary_role", "stop_signal", "release"]
)
@given(word=WORDS)
@settings(max_examples=25, deadline=None)
def test_any_word_at_a_key_is_read_or_refused(key: str, word: str) -> None:
    outcome(BASE.replace(f"{key}: app\n", "") + f"{key}: {word}\n")
    quoted = word.replace("'", "''")
    outcome(BASE.replace(f"{key}: app\n", "") + f"{key}: '{quoted}'\n")


def test_hostile_words_in_lists_and_mappings_are_read_or_refused() -> None:
    for _, word in zip(range(150), mixtures(30), strict=False):
        outcome(BASE + f"labels:\n  a: {word}\nenv:\n  secret: [{word}]\nvolumes:\n- {word}\n")


@given(st.binary(max_size=200))
@settings(max_examples=150, deadline=None)
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    outcome(data.decode("latin-1"))
    outcome(BASE + data.decode("utf-8", errors="replace"))
