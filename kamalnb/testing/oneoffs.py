"""How a pretend host plays what runs there once: one-off containers, a shell line, the making ready of a host."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .host import PretendHost

Say = Callable[[str], None]
Play = Generator[float, None, "int | tuple[int, str]"]

TAKES = 0.01
RUN_TAKES = 0.3


def is_one_off(words: tuple[str, ...]) -> bool:
    """Whether this ``docker run`` is of a container that is gone when it ends."""
    return "--rm" in words


def run(host: PretendHost, words: tuple[str, ...], say: Say) -> Play:
    """Runs a program in an image of the host; ``host.ran`` keeps image and words."""
    yield RUN_TAKES
    env_file = words[words.index("--env-file") + 1]
    if env_file not in host.files:
        return 125, f"docker: open {env_file}: no such file or directory."
    reference = next((word for word in words if word in host.images), None)
    if reference is None:
        return 125, "docker: Error response from daemon: pull access denied"
    host.ran.append(words[words.index(reference) :])
    say("done")
    return 0


def _gone(host: PretendHost, words: tuple[str, ...], say: Say) -> Play:
    yield TAKES
    return 0


def _line(host: PretendHost, words: tuple[str, ...], say: Say) -> Play:
    yield TAKES
    host.ran.append(words)
    say(f"{host.name} ran it")
    return 0


def _facts(host: PretendHost, words: tuple[str, ...], say: Say) -> Play:
    yield TAKES
    docker = host.docker["Version"] if host.docker_answers else "down"
    for fact in ("user deploy", "rights sudo", f"docker {docker}", "packages apt", "flock yes", "os Debian 12"):
        say(fact)
    say("directory yes")
    return 0


def _docker_up(host: PretendHost, words: tuple[str, ...], say: Say) -> Play:
    yield 2.0
    host.docker_answers = True
    return 0


PLAYERS = {
    "docker rm": _gone,
    "sh": _line,
    "k_facts": _facts,
    "k_docker_up": _docker_up,
    "k_group": _gone,
    "k_end_with_lock": _gone,
    "k_apt": _gone,
}
