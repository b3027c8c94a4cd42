"""How a pretend host plays commands that live as long as their connection: following logs, a person's own command.

They go by the clock on the wall: whoever follows waits for what another thread does on the same host.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from ..executor import Abort
from ..shell import Command, Result, Secret
from .containers import PretendContainer, moment
from .files import EPOCH

if TYPE_CHECKING:
    from .host import PretendHost

OnPiece = Callable[[bool, bytes], None]
Player = Callable[["PretendHost", tuple[str, ...], OnPiece, Abort], int | None]

LOOKS = 0.02
"""Seconds between two looks of one that follows."""


def play(host: PretendHost, command: Command, on_piece: OnPiece, abort: Abort, over: Command | None) -> Result:
    """Plays ``command`` to its end. Raises ``Unexpected`` for one that nobody taught it."""
    from .host import Unexpected

    words = tuple(word.value if isinstance(word, Secret) else str(word) for word in command.words)
    if words[0] == "k_with":
        words = words[words.index("--") + 1 :]
    player = PLAYERS.get(words[0]) or PLAYERS.get(" ".join(words[:2]))
    if player is None:
        raise Unexpected(f"the pretend host was not told how to play “{command.name}”: {command}")
    failure = host.next_failure(command)
    if failure is not None:
        on_piece(True, failure[1].encode())
        return Result(name=command.name, line=str(command), exited=failure[0])
    if command.changes:
        host.did.append(command.name)
    exited = player(host, words, on_piece, abort)
    if exited is None and over is not None:
        host.did.append(over.name)
    why = "" if exited is not None else "stopped on request" if abort() else "the connection was lost"
    return Result(name=command.name, line=str(command), exited=exited, stderr=why)


def _follow(host: PretendHost, words: tuple[str, ...], on_piece: OnPiece, abort: Abort) -> int | None:
    """What a container says when it starts; each start of one is told, those that run first with their last lines."""
    service, destination, roles, version, wanted = words[1:6]
    prefixes = dict(line.split(" ", 1) for line in roles.split("\n"))
    on_piece(False, f"*{int(host.wall_clock())}\n".encode())
    told: dict[str, float] = {}
    while not abort():
        with host.lock:
            new = [one for one in host.containers.values() if one.running and told.get(one.id) != one.started]
            text = "".join(
                _opened(one, prefixes)
                for one in new
                if _fits(one, service, destination, prefixes) and _is(one, prefixes, version, wanted)
            )
            told |= {one.id: one.started for one in new}
        if text:
            on_piece(False, text.encode())
        if host.losing.get("follow logs", 0):
            host.losing["follow logs"] -= 1
            return None
        time.sleep(LOOKS)
    return None


def _fits(container: PretendContainer, service: str, destination: str, prefixes: Mapping[str, str]) -> bool:
    labels = container.labels
    mine = (labels.get("service"), labels.get("destination") or "") == (service, destination)
    return mine and labels.get("role") in prefixes


def _is(container: PretendContainer, prefixes: Mapping[str, str], version: str, wanted: str) -> bool:
    prefix = prefixes[container.labels["role"]]
    by_version = version == "-" or container.name.removeprefix(f"{prefix}-").partition("_replaced_")[0] == version
    return by_version and (wanted in ("-", container.name) or container.id.startswith(wanted))


def _opened(container: PretendContainer, prefixes: Mapping[str, str]) -> str:
    version = container.labels.get("kamalnb.version", "")
    head = f"={container.labels['role']} {container.id} {container.name} v{version}\n"
    return head + "".join(f">{container.id[:12]} {line}\n" for line in log_of(container))


def log_of(container: PretendContainer) -> Iterator[str]:
    """Its log, each line with Docker's time."""
    for number, line in enumerate(container.app.says):
        yield f"{moment(EPOCH, container.started + number * 0.001)} {line}"


def _run(host: PretendHost, words: tuple[str, ...], on_piece: OnPiece, abort: Abort) -> int | None:
    at = next((number for number, word in enumerate(words) if word in host.images), None)
    if at is None:
        on_piece(True, b"docker: Error response from daemon: manifest unknown.\n")
        return 125
    return _program(words[at + 1 :], on_piece, abort)


def _exec(host: PretendHost, words: tuple[str, ...], on_piece: OnPiece, abort: Abort) -> int | None:
    at = next((number for number, word in enumerate(words) if host.find(word) is not None), None)
    if at is None:
        on_piece(True, b"Error: No such container\n")
        return 1
    return _program(words[at + 1 :], on_piece, abort)


def _program(words: tuple[str, ...], on_piece: OnPiece, abort: Abort) -> int | None:
    """Pretend containers have ``echo``, ``true``, ``false`` and ``sleep``."""
    match words:
        case ("true", *_):
            return 0
        case ("false", *_):
            return 1
        case ("echo", *rest):
            on_piece(False, (" ".join(rest) + "\n").encode())
            return 0
        case ("sleep", seconds):
            until = time.monotonic() + float(seconds)
            while time.monotonic() < until and not abort():
                time.sleep(LOOKS)
            return None if abort() else 0
        case _:
            said = f'OCI runtime exec failed: exec: "{words[0]}": executable file not found in $PATH'
            on_piece(True, said.encode() + b"\n")
            return 127


PLAYERS: Mapping[str, Player] = {"k_follow": _follow, "docker run": _run, "docker exec": _exec}
