"""How a pretend host plays the commands about itself: where home is, cords, files, the clock."""

from __future__ import annotations

import json as jsons
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING

from .containers import moment

if TYPE_CHECKING:
    from .host import PretendHost

Say = Callable[[str], None]
Play = Generator[float, None, "int | tuple[int, str]"]

TAKES = 0.01
"""Seconds that a short command takes."""
EPOCH = "2026-01-01"


def _home(host: PretendHost, words: tuple[str, ...], say: Say) -> Play:
    yield TAKES
    say(host.home)
    return 0


def _tool(host: PretendHost, words: tuple[str, ...], say: Say) -> Play:
    yield TAKES
    for tool in host.tools[:1]:
        say(tool)
    return 0


def _dark(host: PretendHost, words: tuple[str, ...], say: Say) -> Play:
    yield TAKES
    if host.tied(words[1]):
        return 1
    host.cords[words[1]] = "cut"
    host.files[f"{words[1]}/dark"] = ""
    return 0


def _lit(host: PretendHost, words: tuple[str, ...], say: Say) -> Play:
    """No kamalnb makes one: for tests that break the order."""
    yield TAKES
    host.cords[words[1]] = "tied"
    return 0


def _tie(host: PretendHost, words: tuple[str, ...], say: Say) -> Play:
    return (yield from _moved(host, words[1], "cut", "tied"))


def _cut(host: PretendHost, words: tuple[str, ...], say: Say) -> Play:
    state = host.cords.get(words[1])
    if state != "tied":  # the file is not there: nothing to move
        yield TAKES
        return 0
    return (yield from _moved(host, words[1], "tied", "cut"))


def _moved(host: PretendHost, cord: str, before: str, after: str) -> Play:
    yield TAKES
    if host.cords.get(cord) not in (before, after):
        return 1, f"mv: cannot stat '{cord}/cord.cut': No such file or directory"
    host.cords[cord] = after
    return 0


def _cords(host: PretendHost, words: tuple[str, ...], say: Say) -> Play:
    yield TAKES
    for cord, state in host.cords.items():
        if cord.rpartition("/")[0] == host.path(words[1]):
            dark = state == "cut" and f"{cord}/dark" in host.files
            say(f"{'dark' if dark else state} {cord}")
    return 0


def _rm(host: PretendHost, words: tuple[str, ...], say: Say) -> Play:
    yield TAKES
    for path in words[words.index("--") + 1 :]:
        if host.cords.pop(path, None) is not None:
            host.files.pop(f"{path}/dark", None)
        host.files.pop(host.path(path), None)
    return 0


def write(host: PretendHost, words: tuple[str, ...], say: Say) -> Play:
    """Writes what came on stdin, given as the last word."""
    yield TAKES
    host.files[host.path(words[1])] = words[2]
    return 0


def _touch(host: PretendHost, words: tuple[str, ...], say: Say) -> Play:
    yield TAKES
    host.files.setdefault(host.path(words[1]), "")
    return 0


def _audit(host: PretendHost, words: tuple[str, ...], say: Say) -> Play:
    yield TAKES
    path = host.path(words[1])
    host.files[path] = host.files.get(path, "") + f"[{moment(EPOCH, host.time.now)}]{words[2]}\n"
    return 0


def _disk(host: PretendHost, words: tuple[str, ...], say: Say) -> Play:
    yield TAKES
    say(jsons.dumps([f"name={name}" for name in host.security]))
    say(f"/dev/vda1 102400000 1 {host.free_kib} 1% /")
    return 0


def _clock(host: PretendHost, words: tuple[str, ...], say: Say) -> Play:
    yield TAKES
    say(str(int(host.wall_clock())))
    return 0


def _true(host: PretendHost, words: tuple[str, ...], say: Say) -> Play:
    yield TAKES
    return 0


def _tidy(host: PretendHost, words: tuple[str, ...], say: Say) -> Play:
    yield TAKES
    for journal in host.journals(words[1]):
        del host.detached[journal]
    return 0


def _forget(host: PretendHost, words: tuple[str, ...], say: Say) -> Play:
    yield TAKES
    for journal in host.journals():
        if host.path(journal) in map(host.path, words[1:]):
            del host.detached[journal]
    return 0


def _counted(host: PretendHost, words: tuple[str, ...], say: Say) -> Play:
    yield TAKES
    running = sum(not one.done for one in host.detached.values())
    say(str(len(host.journals(words[2])) if words[1] == "ended" else running))
    return 0


PLAYERS = {
    "pwd": _home,
    "k_tool": _tool,
    "k_dark": _dark,
    "k_lit": _lit,
    "k_tie": _tie,
    "k_cut": _cut,
    "k_cords": _cords,
    "rm": _rm,
    "k_write": write,
    "k_touch": _touch,
    "k_audit": _audit,
    "k_disk": _disk,
    "date": _clock,
    "true": _true,
    "k_tidy": _tidy,
    "k_forget": _forget,
    "k_count": _counted,
}
