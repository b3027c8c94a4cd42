"""Hooks: a team's own programs in ``hooks_path``, run on this machine at Kamal's places, with Kamal's variables.

A hook that ends with another exit code than 0 stops what it stands before. ``deploy-failed`` is ours; when it fails
itself, that is only said. A hook that is not there is nothing.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from .config.versions import abbreviated
from .errors import HookFailed
from .local import Failed, Local

if TYPE_CHECKING:
    from .project import Project

LIMIT = 900.0
"""Seconds that a hook may take: Kamal's own sample waits 720 s for a build."""
LOCK = "KAMALNB_LOCK"
"""Names the run whose lock a hook's own kamalnb inherits."""

TRUTHS: Mapping[str, str] = {
    "pre-connect": "Nothing was changed.",
    "pre-deploy": "Nothing was changed.",
    "pre-app-boot": "The hosts of this batch were not touched, and no further batch begins.",
    "post-app-boot": "The hosts of this batch serve the new version; no further batch begins.",
    "post-deploy": "The deploy itself went well, and nothing is taken back.",
    "pre-traefik-reboot": "Traefik was not touched there.",
    "post-traefik-reboot": "Traefik has been rebooted there; no further host begins.",
    "deploy-failed": "",
}
"""Each hook, and what is true when it fails there."""
NOT_OURS: Mapping[str, str] = {
    "pre-build": "kamalnb does not build images. Run it before you build.",
    "docker-setup": "kamalnb does not set Docker up by a hook. Run it once yourself.",
    "pre-proxy-reboot": "the proxy is Traefik here. Call it pre-traefik-reboot.",
    "post-proxy-reboot": "the proxy is Traefik here. Call it post-traefik-reboot.",
}
"""Hooks of some Kamal that are never run here, and why."""

OnLine = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """What a hook is told. ``command`` and ``subcommand`` are the task in Kamal's words: ``app`` and ``boot``.

    ``roles`` are those a person chose, empty where none were. ``runtime`` is for post-deploy, ``error`` and
    ``failed_hosts`` for deploy-failed. ``lock`` is the run's id.
    """

    version: str = ""
    hosts: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    command: str = ""
    subcommand: str = ""
    runtime: float | None = None
    lock: str = ""
    error: str = ""
    failed_hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HookResult:
    """How a hook ended. ``ran`` is False where there is none; ``warning`` is a sentence about one that may fail."""

    name: str
    ran: bool = False
    seconds: float = 0.0
    last_lines: tuple[str, ...] = ()
    warning: str = ""


def run_hook(
    project: Project,
    name: str,
    details: Details,
    on_line: OnLine,
    *,
    limit: float = LIMIT,
    truth: str | None = None,
    abort: Callable[[], bool] = lambda: False,
) -> HookResult:
    """Runs the hook ``name`` to its end, if there is one; ``on_line`` gets each line as it is printed.

    ``truth`` is what is true now if it fails (``TRUTHS`` has each hook's usual one); ``abort`` is asked a few times a
    second, and True ends the hook. Raises HookFailed, except for deploy-failed.
    """
    path = hook_path(project, name)
    if not os.path.lexists(path):
        return HookResult(name=name)
    began = time.monotonic()
    shown = _shown(project, path)
    environ = environment(project, details)
    program = Local(path=path, cwd=project.root, environ=environ, on_line=on_line, limit=limit, abort=abort)
    warning = ""
    try:
        if wrong := _unusable(path, shown):
            raise Failed(wrong)
        program.run()
    except Failed as why:
        if name != "deploy-failed":
            now = TRUTHS[name] if truth is None else truth
            raise _failed(name, str(why), shown, now, tuple(program.last)) from None
        warning = f"The hook {name} {why}."
    seconds, lines = time.monotonic() - began, tuple(program.last)
    return HookResult(name=name, ran=True, seconds=seconds, last_lines=lines, warning=warning)


def hook_path(project: Project, name: str) -> Path:
    """Where the hook ``name`` would be. ValueError where there is no such hook."""
    if name not in TRUTHS:
        raise ValueError(f"no hook is called {name}")
    return project.root / Path(project.config.hooks_path).expanduser() / name


def environment(project: Project, details: Details) -> dict[str, str]:
    """The process's environment, ``.env`` over it as in Kamal, and what a hook is told over both.

    What an outer run told its own hooks is not passed on, except its lock.
    """
    told = dict(_told(project, details))
    return {name: value for name, value in project.environ.items() if name not in NAMES or name == LOCK} | told


def inherited_lock(environ: Mapping[str, str]) -> str:
    """The id of the run that this process is a hook of; empty where it is none."""
    found = environ.get(LOCK, "").strip()
    return found if re.fullmatch(r"[0-9a-f]{8,64}", found) else ""


def problems(project: Project) -> tuple[str, ...]:
    """Sentences about hooks that cannot be run, so that a run can refuse before it has changed anything."""
    found = ((name, hook_path(project, name)) for name in TRUTHS)
    told = ((name, _unusable(path, _shown(project, path))) for name, path in found if os.path.lexists(path))
    return tuple(f"The hook {name} {why}." for name, why in told if why)


def overlooked(project: Project) -> tuple[str, ...]:
    """Sentences about files beside the hooks that look like hooks and are never run."""
    directory = project.root / Path(project.config.hooks_path).expanduser()
    try:
        names = sorted(entry.name for entry in os.scandir(directory) if entry.is_file())
    except OSError:
        return ()
    sentences = [f"the hook {name} is not run: {NOT_OURS[name]}" for name in names if name in NOT_OURS]
    for name in names:
        near = get_close_matches(name.replace("_", "-"), TRUTHS, n=1, cutoff=0.8)
        if near and name not in TRUTHS and name not in NOT_OURS and not name.endswith((".sample", "~", ".bak", ".md")):
            shown = _shown(project, directory / name)
            sentences.append(f"{shown} is not run: no hook has that name. Call it {near[0]}.")
    return tuple(sentences)


NAMES = frozenset(
    {
        *("KAMAL_RECORDED_AT", "KAMAL_PERFORMER", "KAMAL_DESTINATION", "KAMAL_VERSION", "KAMAL_SERVICE_VERSION"),
        *("KAMAL_SERVICE", "KAMAL_HOSTS", "KAMAL_COMMAND", "KAMAL_SUBCOMMAND", "KAMAL_ROLE", "KAMAL_ROLES"),
        *("KAMAL_RUNTIME", "KAMALNB_ERROR", "KAMALNB_FAILED_HOSTS", LOCK),
    }
)
"""Every variable that a hook may be told."""


def _told(project: Project, details: Details) -> Iterator[tuple[str, str]]:
    """Kamal 1.9.3's variables and ours, without those that have no value, as in Kamal."""
    config = project.config
    values = {
        "KAMAL_RECORDED_AT": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "KAMAL_PERFORMER": project.performer(),
        "KAMAL_DESTINATION": config.destination or "",
        "KAMAL_VERSION": details.version,
        "KAMAL_SERVICE_VERSION": "@".join(filter(None, (config.service, abbreviated(details.version)))),
        "KAMAL_SERVICE": config.service,
        "KAMAL_HOSTS": ",".join(details.hosts),
        "KAMAL_COMMAND": details.command,
        "KAMAL_SUBCOMMAND": details.subcommand,
        # Kamal 1's samples promise the first and Kamal 2 sets the second: both where roles were chosen.
        "KAMAL_ROLE": ",".join(details.roles),
        "KAMAL_ROLES": ",".join(details.roles),
        "KAMAL_RUNTIME": "" if details.runtime is None else str(round(details.runtime)),
        "KAMALNB_ERROR": " ".join(details.error.split()),
        "KAMALNB_FAILED_HOSTS": ",".join(details.failed_hosts),
        LOCK: details.lock,
    }
    for name, value in values.items():
        if value:
            yield name, value.replace("\0", "")


def _unusable(path: Path, shown: str) -> str:
    """Why the file cannot be a hook; empty where it can."""
    if path.is_symlink() and not path.exists():
        return f"cannot be run: {shown} is a link to nothing"
    if not path.is_file():
        return f"cannot be run: {shown} is no file"
    if not os.access(path, os.X_OK):
        return f"cannot be run: {shown} is not executable (`chmod +x {shown}`)"
    return ""


def _failed(name: str, why: str, shown: str, truth: str, lines: tuple[str, ...]) -> HookFailed:
    advice = f"Correct {shown}, or pass over hooks with --skip-hooks."
    sentence = " ".join(part for part in (f"The hook {name} {why}.", truth, advice) if part)
    return HookFailed(sentence, hook=name, lines=lines)


def _shown(project: Project, path: Path) -> str:
    return str(path.relative_to(project.root)) if path.is_relative_to(project.root) else str(path)
