"""A first set of files for a project: deploy.yml, tasks.py, sample hooks, .env and, asked for, a CI's workflow.

Nothing that is there is ever overwritten; what was left is said.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Literal

from .config.model import Config, Env, SecretSource
from .errors import KamalnbError, UsageError
from .hooks import TRUTHS
from .project import CONFIG_FILE, SSH_KEY, load

CIS = {"github": ".github/workflows/deploy.yml"}
"""The CI systems that there is a workflow for, and where it goes."""
NEXT = "Fill in config/deploy.yml, put its secrets into .env, then `invoke check`."
"""What to do after that, as it is typed under Invoke."""
_IGNORED = (".env", ".env.*")
_GIT_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """One file: ``path`` in the project, and whether it was written, kept as it was, or added to."""

    path: str
    state: Literal["written", "kept", "added to"]
    sentence: str


def init(root: Path, *, ci: str = "", service: str = "") -> tuple[Written, ...]:
    """Writes what is not there yet below ``root``. Raises UsageError where that cannot be done.

    ``ci`` is one of ``CIS`` or empty; ``service`` is the app's name, by default made of the directory's.
    """
    if ci and ci not in CIS:
        near = get_close_matches(ci, CIS, n=1)
        raise UsageError(f"there is no workflow for {ci}. Write --ci={near[0] if near else '|'.join(CIS)}.")
    name = service or _service(root)
    found = [_written(root, str(CONFIG_FILE), _template("deploy.yml").replace("{{service}}", name), 0o666)]
    config = _config(root)
    name = config.service if config else name
    found.append(_written(root, "tasks.py", _template("tasks.txt"), 0o666))
    hooks = _hooks_path(root, config)
    for hook in TRUTHS:
        text = _template(f"hooks/{hook}.sample").replace("{{service}}", name)
        found.append(_written(root, f"{hooks}/{hook}.sample", text, 0o777))
    found.append(_written(root, ".env", _template("env.txt"), 0o600))
    found += _ignored(root)
    if ci:
        found.append(_written(root, CIS[ci], _workflow(name, config), 0o666))
    return tuple(found)


def _service(root: Path) -> str:
    return re.sub(r"[^a-z0-9]+", "-", root.absolute().name.lower()).strip("-") or "app"


def _template(name: str) -> str:
    return (files("kamalnb") / "templates" / name).read_text(encoding="utf-8")


def _written(root: Path, name: str, text: str, mode: int) -> Written:
    """Writes it with those rights from its first byte on, unless something of that name is there."""
    path = root / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        if os.path.lexists(path):
            return Written(path=name, state="kept", sentence=f"{name} is there already and was left as it is.")
        raise UsageError(f"{path} cannot be written: a file stands where its directory should be. Move it.") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}. Look at the directory's rights.") from None
    return Written(path=name, state="written", sentence=f"{name} was written.")


def _config(root: Path) -> Config | None:
    """What the deploy.yml there means, if it can be read: another may have been there before."""
    try:
        return load(root / CONFIG_FILE).config
    except KamalnbError:
        return None


def _hooks_path(root: Path, config: Config | None) -> str:
    path = Path(config.hooks_path) if config else Path(".kamal/hooks")
    inside = not path.is_absolute() and ".." not in path.parts and not str(path).startswith("~")
    return str(path) if inside else ".kamal/hooks"


def _ignored(root: Path) -> Iterator[Written]:
    """Keeps .env out of git, where there is git."""
    if not any((directory / ".git").exists() for directory in (root.absolute(), *root.absolute().parents)):
        return
    missing = [pattern for pattern in _IGNORED if not _is_ignored(root, pattern.replace("*", "staging"))]
    if not missing:
        return
    path = root / ".gitignore"
    try:
        before = path.read_text(encoding="utf-8", errors="surrogateescape") if path.exists() else ""
        gap = "" if before.endswith("\n") or not before else "\n"
        with path.open("a", encoding="utf-8") as file:
            file.write(gap + "".join(f"{pattern}\n" for pattern in missing))
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}. Add .env to it yourself.") from None
    yield Written(path=".gitignore", state="added to", sentence=f".gitignore now names {' and '.join(missing)}.")


def _is_ignored(root: Path, name: str) -> bool:
    """As git says; without git, as its lines say."""
    command = ["git", "-C", str(root), "check-ignore", "--quiet", "--no-index", name]
    try:
        code = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_GIT_SECONDS).returncode
    except (OSError, subprocess.SubprocessError):
        code = 128
    if code in (0, 1):
        return code == 0
    path = root / ".gitignore"
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    return bool({name, f"/{name}", ".env*", "/.env*"} & {line.strip() for line in lines})


def _workflow(service: str, config: Config | None) -> str:
    names = _variables(config) if config else ["REGISTRY_PASSWORD"]
    secrets = "\n".join(f"          {name}: ${{{{ secrets.{name} }}}}" for name in names)
    text = _template("github.yml").replace("{{service}}", service)
    text = text.replace("{{repository}}", config.repository if config else f"my-name/{service}")
    return text.replace("{{names}}", ", ".join(names) or "(no other secret)").replace(
        "{{secrets}}\n", f"{secrets}\n" if secrets else ""
    )


def _variables(config: Config) -> list[str]:
    """Every variable that a deploy of ``config`` reads a secret from, once, in the order of the file."""
    registry = config.registry
    sources: list[SecretSource | str | None] = [registry.username, registry.password, *config.ssh.key_data]
    environments: list[Env] = [env for role in config.roles for env in (role.env, *role.env_tags.values())]
    for env in (*environments, config.traefik.env):
        sources += env.secret.values()
    names = [source.env for source in sources if isinstance(source, SecretSource) and source.env]
    return [name for name in dict.fromkeys(names) if name != SSH_KEY]
