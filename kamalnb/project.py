"""The project on this machine: its ``deploy.yml``, ``.env``, git, and the secrets that it names.

The pure reading of the file is in ``kamalnb.config.reading``; what touches the disk or starts a program is here. A
secret is read when it is first asked for, once, and never shown: not in a message, not in a repr.
"""

from __future__ import annotations

import getpass
import os
import re
import secrets
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from .errors import ConfigError, UsageError
from .shell import Secret

if TYPE_CHECKING:
    from .config.envfile import EnvFile
    from .config.model import Config, SecretSource

CONFIG_FILE = Path("config/deploy.yml")
SSH_KEY = "KAMALNB_SSH_KEY"
"""A private key as text, for places that have no files and no agent: a CI's secret."""
_LARGEST = 1024 * 1024
_GIT_SECONDS = 10.0
_LONGEST_LINE = 60 * 1024
"""Docker's reader stops at a line of 64 KiB, the variable's name included."""
_seen: set[Secret] = set()


def secrets_read() -> frozenset[Secret]:
    """Every secret that this process has read: for those who must hide them in what they save."""
    return frozenset(_seen)


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A directory with a ``deploy.yml``, and what only this machine knows about it."""

    root: Path
    config: Config
    sources: tuple[Path, ...]
    """The files it was read from: ``deploy.yml``, then its overlay, then ``.env`` files."""
    digest: str
    """Names this very configuration: SHA-256 of ``deploy.yml`` and its overlay."""
    warnings: tuple[str, ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The environment with ``.env`` over it."""
    env_commands: frozenset[str] = frozenset()
    """Variables that ``.env`` sets by ``$(command)``, which is not run."""
    secret_timeout: float = 60.0
    """Seconds that a command that prints a secret may take."""
    _known: dict[SecretSource, Secret] = field(default_factory=dict, repr=False, compare=False)
    _lock: Lock = field(default_factory=Lock, repr=False, compare=False)

    def secret(self, source: SecretSource) -> Secret:
        """The value of ``source``, read the first time and kept. Raises ConfigError naming its place in the file."""
        with self._lock:  # hosts are served by threads, and a command may cost a touch on a key
            if source not in self._known:
                self._known[source] = self._read(source)
                _seen.add(self._known[source])
            return self._known[source]

    def line_of_env(self, source: SecretSource) -> Secret:
        """The value of ``source`` for an env file, which Docker reads line by line. Raises ConfigError as well."""
        value = self.secret(source)
        if why := _no_line(value.value):
            problem = f"{why}, and Docker's env files take one line as it is. Encode it, as base64 for instance."
            raise ConfigError(((source.where, problem),), str(self.sources[0]))
        return value

    def version_from_git(self) -> str:
        """The whole hash of the commit; with ``_uncommitted_`` and 16 hex digits where files were changed.

        Raises UsageError where the project is in no git repository, or git is not installed.
        """
        revision, changes = self._git("rev-parse", "HEAD"), self._git("status", "--porcelain")
        if not revision or changes is None:
            raise UsageError(f"{self.root} has no git commit to take a version from. Name one: --version=abc1234.")
        return f"{revision}_uncommitted_{secrets.token_hex(8)}" if changes else revision

    def revision(self) -> str:
        """The short hash of the commit of this checkout, with ``+changes`` where files were changed; "" without git."""
        revision = self._git("rev-parse", "--short=7", "HEAD")
        if not revision:
            return ""
        return f"{revision}+changes" if self._git("status", "--porcelain") else revision

    def performer(self) -> str:
        """Who does this, for the audit log and the lock: one line, never empty."""
        names = ("KAMALNB_PERFORMER", "GITHUB_ACTOR", "JUPYTERHUB_USER")
        named = next((self.environ[name] for name in names if self.environ.get(name, "").strip()), None)
        who = named or self._git("config", "user.email") or f"{_user()}@{socket.gethostname()}"
        return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+", " ", who).strip()[:100] or "unknown"

    def _read(self, source: SecretSource) -> Secret:
        if source.value is not None:
            return source.value
        try:
            return Secret(self._text(source))
        except _NoSecret as why:
            raise ConfigError(((source.where, str(why)),), str(self.sources[0])) from None

    def _text(self, source: SecretSource) -> str:
        if source.env is not None:
            return self._variable(source.env)
        if source.file is not None:
            return _file(self.root, source.file)
        return _printed(source.command or (), self.root, self.environ, self.secret_timeout)

    def _variable(self, name: str) -> str:
        if name not in self.environ:
            raise _NoSecret(f"needs {name}, which is not set. Set it in the environment, or in {self.root / '.env'}.")
        if name in self.env_commands:
            how = f"secret: {{{name}: {{command: [program, word]}}}}"
            raise _NoSecret(f"needs {name}, which .env sets by $(…); kamalnb does not run that. Write {how}.")
        return self.environ[name]

    def _git(self, *words: str) -> str | None:
        """What git prints, or None where it cannot say."""
        command = ["git", "-C", str(self.root), *words]
        quiet = {"stdin": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "timeout": _GIT_SECONDS}
        try:
            done = subprocess.run(command, stdout=subprocess.PIPE, env=dict(self.environ), check=False, **quiet)  # type: ignore[call-overload]
        except (OSError, subprocess.SubprocessError, ValueError):
            return None
        return done.stdout.decode(errors="replace").strip() if done.returncode == 0 else None


def load(
    config_file: str | Path | None = None,
    destination: str | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Project:
    """The project at ``cwd`` or above it, or the one that ``config_file`` (relative to ``cwd``) belongs to.

    ``environ`` is the process's own by default. Raises ConfigError for what is wrong in the files, UsageError for a
    file or destination that does not exist.
    """
    from . import __version__
    from .config.reading import read_config

    path = _config_path(config_file, (cwd or Path.cwd()).absolute())
    root = path.parent.parent if path.parent.name == CONFIG_FILE.parent.name else path.parent
    env = _environment(root, destination, os.environ if environ is None else environ)
    overlay = _overlay_path(path, destination)
    shown = str(path.relative_to(root))
    texts = [_text_of(file, shown) for file in (path, overlay) if file]
    config = read_config(
        texts[0],
        texts[1] if overlay else None,
        environ=env.values,
        destination=destination,
        source=shown,
        kamalnb_version=__version__,
    )
    return Project(
        root=root,
        config=_with_first_key(config, env.values),
        sources=(path, *((overlay,) if overlay else ()), *env.files),
        digest=sha256("\0".join(texts).encode()).hexdigest(),
        warnings=(*config.warnings, *env.warnings),
        environ=env.values,
        env_commands=env.commands,
    )


def _with_first_key(config: Config, environ: Mapping[str, str]) -> Config:
    if not environ.get(SSH_KEY, "").strip():
        return config
    from .config.model import SecretSource

    return replace(config, ssh=replace(config.ssh, first_key=SecretSource(env=SSH_KEY, where=SSH_KEY)))


class _NoSecret(Exception):
    """Why a secret cannot be had; the text is a sentence without anything of the secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Environment:
    values: dict[str, str] = field(repr=False)
    commands: frozenset[str]
    files: tuple[Path, ...]
    warnings: tuple[str, ...]


def _config_path(config_file: str | Path | None, cwd: Path) -> Path:
    if config_file is not None:
        path = cwd / Path(config_file).expanduser()
        if not path.is_file():
            raise UsageError(f"there is no file {path}. Name the deploy.yml with --config-file.")
        return path
    for directory in (cwd, *cwd.parents):
        if (directory / CONFIG_FILE).is_file():
            return directory / CONFIG_FILE
    raise UsageError(f"no {CONFIG_FILE} in {cwd} or above it. Go to the project, or name the file with --config-file.")


def _overlay_path(path: Path, destination: str | None) -> Path | None:
    if destination is None:
        return None
    if not re.fullmatch(r"[A-Za-z0-9_-]+", destination):
        raise UsageError("a destination's name has letters, digits, - and _ only. Name one like staging.")
    overlay = path.with_name(f"{path.stem}.{destination}{path.suffix}")
    if overlay.is_file():
        return overlay
    there = sorted(file.name.split(".")[-2] for file in path.parent.glob(f"{path.stem}.*{path.suffix}"))
    near = get_close_matches(destination, there, n=1)
    hint = (
        f"Did you mean {near[0]}?" if near else f"There is: {', '.join(there)}." if there else f"Write {overlay.name}."
    )
    raise UsageError(f"there is no destination {destination}: {overlay} does not exist. {hint}")


def _environment(root: Path, destination: str | None, environ: Mapping[str, str]) -> _Environment:
    """As Kamal 1.9.3: ``.env``, then ``.env.<destination>``, each over what was there."""
    from .config.envfile import read_env

    values, commands = dict(environ), frozenset[str]()
    files: list[Path] = []
    warnings: list[str] = []
    for file in [root / ".env", *([root / f".env.{destination}"] if destination else [])]:
        if not file.is_file():
            continue
        found: EnvFile = read_env(_text_of(file, file.name), values)
        values |= found.values
        commands = (commands - found.values.keys()) | found.commands
        files.append(file)
        warnings += [f"{file.name} line {line} sets nothing. Write NAME=value." for line in found.bad_lines]
    return _Environment(values=values, commands=commands, files=tuple(files), warnings=tuple(warnings))


def _text_of(file: Path, shown: str) -> str:
    try:
        if file.stat().st_size > _LARGEST:
            raise ConfigError((("", f"{file} is larger than 1 MiB. Is it the right file?"),), shown)
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError((("", f"{file} is not UTF-8. Save it as UTF-8."),), shown) from None
    except OSError as error:
        raise ConfigError(
            (("", f"{file} cannot be read: {error.strerror}. Look at its permissions."),), shown
        ) from None


def _file(root: Path, name: str) -> str:
    """A secret in a file, without the line break that editors add."""
    try:
        file = root / Path(name).expanduser()
        if file.stat().st_size > _LARGEST:
            raise _NoSecret(f"names {name}, which is larger than 1 MiB. Name a file that holds the secret alone.")
        return _one_value(file.read_bytes(), f"the file {name}")
    except (OSError, ValueError, RuntimeError) as error:
        why = getattr(error, "strerror", None) or "no such path"
        raise _NoSecret(
            f"needs the file {name}, which cannot be read: {why}. Write it, or look at its rights."
        ) from None


def _printed(argv: tuple[str, ...], root: Path, environ: Mapping[str, str], seconds: float) -> str:
    """What a command prints. Neither its output nor its words get into a message: both may hold secrets."""
    program, ends = argv[0], {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    try:
        running = subprocess.Popen(argv, cwd=root, env=dict(environ), **ends)  # type: ignore[call-overload]
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "its words cannot be passed on"
        raise _NoSecret(
            f"needs the command {program}, which does not start: {why}. Install it, or correct it."
        ) from None
    try:
        out, _ = running.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        raise _NoSecret(
            f"needs the command {program}, which took more than {seconds:g} s. Run it yourself once."
        ) from None
    finally:
        running.kill()  # also when the user interrupts; nothing happens to one that has ended
        if running.stdout:
            running.stdout.close()  # a grandchild may hold the other end: do not wait for it
        running.wait()
    if running.returncode != 0:
        ended = f"ended with exit code {running.returncode}"
        raise _NoSecret(f"needs the command {program}, which {ended}. Run it yourself to see why.")
    return _one_value(out, f"the command {program}")


def _one_value(raw: bytes, what: str) -> str:
    try:
        value = raw.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise _NoSecret(
            f"needs a text, and {what} has bytes that are no UTF-8. Encode it, as base64 for instance."
        ) from None
    if not value or "\0" in value:
        raise _NoSecret(f"needs a text, and {what} has {'a NUL byte' if value else 'nothing'}. Look at it.")
    return value


def _no_line(value: str) -> str:
    if any(character in value for character in "\n\r\0"):
        return "has more than one line"
    return "is longer than 60 KiB" if len(value.encode(errors="replace")) > _LONGEST_LINE else ""


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container may run under a user id that has no name
        return str(os.getuid())
