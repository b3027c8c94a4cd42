"""What OpenSSH's own configuration says about a host, asked of ``ssh -G``.

So Include, Match, ProxyJump, IdentityAgent and the rest mean here what they mean in ``ssh``. What deploy.yml
sets goes along as command line options, which win over every file.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import shlex
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from ..config.model import Ssh
from ..errors import HostUnreachable
from .target import Login, Target

__all__ = ["Login", "Target", "resolve", "split_address"]

KNOWN_HOSTS = "config/known_hosts"
"""The project's own, where deploy.yml names no other."""
_NO_SSH = (
    "the ssh program is not installed here, and through it OpenSSH's configuration is read. "
    "Install it: `apt-get install openssh-client`."
)


def resolve(host: str, ssh: Ssh, directory: Path) -> Target:
    """Where ``host`` of deploy.yml is. Raises HostUnreachable (step ``resolve``)."""
    options = _Options(about=host, host=host, words=_overrides(ssh), ssh=ssh, directory=directory)
    return _target(options, ())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Options:
    """One question to ``ssh -G``; a jump host is asked for without what deploy.yml sets for its own hosts."""

    about: str
    """The host that errors are about."""
    host: str
    words: tuple[str, ...]
    ssh: Ssh
    directory: Path


def _overrides(ssh: Ssh) -> tuple[str, ...]:
    user = ("-l", ssh.user) if ssh.user else ()
    port = ("-p", str(ssh.port)) if ssh.port else ()
    if ssh.proxy:
        # Kamal: a proxy without a user is root's.
        return (*user, *port, "-J", ssh.proxy if "@" in ssh.proxy else f"root@{ssh.proxy}")
    return (*user, *port, "-o", f"ProxyCommand={ssh.proxy_command}") if ssh.proxy_command else (*user, *port)


def _target(options: _Options, chain: tuple[tuple[str, int, str], ...]) -> Target:
    settings = _ask(options)
    place = (settings.one("hostname", options.host), int(settings.one("port", "22")), settings.one("user", ""))
    if place in chain:
        raise _unreadable(options, f"its jump hosts go round in a circle. Try `ssh -G {options.about}`.")
    command = settings.one("proxycommand", "none")
    only_ours = options.ssh.keys_only and not chain  # not on jump hosts: deploy.yml says nothing about those
    via = _jump(settings.one("proxyjump", "none"), options, (*chain, place))
    return Target(
        alias=options.host,
        hostname=place[0],
        port=place[1],
        user=place[2],
        family=_family(settings.one("addressfamily", "any")),
        project_keys=tuple(_inside(options.directory, name) for name in options.ssh.keys),
        identity_files=() if only_ours else tuple(settings.paths("identityfile", place)),
        certificate_files=tuple(settings.paths("certificatefile", place)),
        identities_only=settings.yes("identitiesonly") or only_ours,
        agent=_agent(settings, place),
        known_hosts=_known_hosts(settings, options),
        new_keys_go_to=_new_keys_go_to(settings),
        key_alias=settings.one("hostkeyalias", "") or None,
        proxy_command=None if via or command == "none" else _tokens(command, settings, place),
        via=via,
        command=shlex.join(("ssh", *_files(options)[:2], *options.words, options.host)),
    )


def _jump(jump: str, options: _Options, chain: tuple[tuple[str, int, str], ...]) -> Target | None:
    """The last jump host of ``a,b,c``; the ones before it are how it is reached, as with ``ssh -J``."""
    if jump == "none":
        return None
    *before, last = jump.split(",")
    user, host, port = split_address(last)
    words = (*(("-l", user) if user else ()), *(("-p", port) if port else ()))
    words = (*words, "-J", ",".join(before)) if before else words
    return _target(replace(options, host=host, words=words), chain)


def split_address(text: str) -> tuple[str, str, str]:
    """User, host and port of ``[user@]host[:port]`` or ``ssh://…``; ``""`` for what is not said."""
    user, _at, place = text.removeprefix("ssh://").rstrip("/").rpartition("@")
    bracketed = re.fullmatch(r"\[(.+)\](?::(\d+))?", place)
    if bracketed:
        return user, bracketed[1], bracketed[2] or ""
    if place.count(":") == 1:
        host, _colon, port = place.partition(":")
        return user, host, port
    return user, place, ""


@dataclass(frozen=True, slots=True)
class _Settings:
    """What ``ssh -G`` printed: keyword to values, in order."""

    values: dict[str, list[str]]

    def one(self, keyword: str, otherwise: str) -> str:
        return self.values.get(keyword, [otherwise])[0]

    def yes(self, keyword: str) -> bool:
        return self.one(keyword, "no") in ("yes", "true")

    def paths(self, keyword: str, place: tuple[str, int, str]) -> Iterator[Path]:
        for value in self.values.get(keyword, []):
            if value != "none":
                yield Path(_expand(value, self, place))

    def files(self, keyword: str) -> Iterator[Path]:
        """Paths that OpenSSH prints in one line, already expanded and without quotes."""
        value = self.one(keyword, "none")
        words = (value,) if Path(value).exists() else value.split(" ")
        yield from (Path(_tilde(word)) for word in words if word not in ("", "none"))


def read_settings(text: str) -> dict[str, list[str]]:
    """The lines of ``ssh -G`` as keyword to values, in order."""
    values: dict[str, list[str]] = {}
    for line in text.splitlines():
        keyword, _space, value = line.partition(" ")
        values.setdefault(keyword.lower(), []).append(value)
    return values


def _ask(options: _Options) -> _Settings:
    with contextlib.ExitStack() as stack:
        files = _files(options) if len(_names(options)) < 2 else ("-F", stack.enter_context(_joined(options)))
        argv = ("ssh", "-G", *files, *options.words, "--", options.host)
        try:
            answer = subprocess.run(
                argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=30
            )
        except FileNotFoundError:
            raise _unreadable(options, _NO_SSH) from None
        except subprocess.TimeoutExpired:
            raise _unreadable(options, f"no answer from `ssh -G` in 30 s. Try `{shlex.join(argv)}`.") from None
    if answer.returncode != 0:
        why = "; ".join(answer.stderr.strip().splitlines())[:300] or "no reason given"
        raise _unreadable(options, f"ssh cannot read its configuration for it ({why}). Try `{shlex.join(argv)}`.")
    return _Settings(read_settings(answer.stdout))


def _unreadable(options: _Options, sentence: str) -> HostUnreachable:
    who = "" if options.host == options.about else f"the jump host {options.host}: "
    return HostUnreachable(options.about, "resolve", who + sentence)


def _names(options: _Options) -> tuple[str, ...]:
    config = options.ssh.config
    return () if isinstance(config, bool) else config


def _files(options: _Options) -> tuple[str, ...]:
    if options.ssh.config is False:
        return ("-F", "none")
    return tuple(word for name in _names(options) for word in ("-F", str(_inside(options.directory, name))))


@contextlib.contextmanager
def _joined(options: _Options) -> Iterator[str]:
    """A file that includes several, since ``ssh`` takes one ``-F``."""
    with tempfile.NamedTemporaryFile("w", prefix="kamalnb-ssh-", encoding="utf-8") as file:
        file.writelines(f'Include "{_inside(options.directory, name)}"\n' for name in _names(options))
        file.flush()
        yield file.name


def _inside(directory: Path, name: str) -> Path:
    return directory / _tilde(name)


def _known_hosts(settings: _Settings, options: _Options) -> tuple[Path, ...]:
    name = options.ssh.known_hosts
    usual = options.directory / KNOWN_HOSTS
    ours = (_inside(options.directory, name),) if name else (usual,) if usual.is_file() else ()
    return (*ours, *settings.files("userknownhostsfile"), *settings.files("globalknownhostsfile"))


def _new_keys_go_to(settings: _Settings) -> Path | None:
    if settings.one("stricthostkeychecking", "ask") != "accept-new":
        return None
    return next(settings.files("userknownhostsfile"), None)


def _agent(settings: _Settings, place: tuple[str, int, str]) -> Path | None:
    value = settings.one("identityagent", "SSH_AUTH_SOCK")
    if value == "none":
        return None
    path = os.environ.get("SSH_AUTH_SOCK", "") if value == "SSH_AUTH_SOCK" else _expand(value, settings, place)
    return Path(path) if path else None


def _family(text: str) -> Literal["any", "inet", "inet6"]:
    return "inet" if text == "inet" else "inet6" if text == "inet6" else "any"


def _expand(text: str, settings: _Settings, place: tuple[str, int, str]) -> str:
    """A path with its ``~``, ``${VARIABLE}``, ``$VARIABLE`` and % tokens, which ``ssh -G`` leaves as they are."""
    text = re.sub(r"\$\{(\w+)\}", lambda found: os.environ.get(found[1], ""), _tokens(text, settings, place))
    whole = re.fullmatch(r"\$(\w+)", text)
    return _tilde(os.environ.get(whole[1], "") if whole else text)


def _tokens(text: str, settings: _Settings, place: tuple[str, int, str]) -> str:
    hostname, port, user = place
    local = pwd.getpwuid(os.getuid())
    tokens = {
        "%": "%",
        "d": local.pw_dir,
        "h": hostname,
        "i": str(os.getuid()),
        "j": settings.one("proxyjump", ""),
        "k": settings.one("hostkeyalias", "") or settings.one("host", hostname),
        "L": socket.gethostname().partition(".")[0],
        "l": socket.gethostname(),
        "n": settings.one("host", hostname),
        "p": str(port),
        "r": user,
        "u": local.pw_name,
    }
    return re.sub(r"%(.)", lambda found: tokens.get(found[1], found[0]), text)


def _tilde(text: str) -> str:
    """``~`` as OpenSSH means it: the home in the user database, whatever ``$HOME`` says."""
    if text == "~" or text.startswith("~/"):
        return pwd.getpwuid(os.getuid()).pw_dir + text[1:]
    return os.path.expanduser(text) if text.startswith("~") else text
