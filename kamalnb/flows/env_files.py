"""Secret env files on a host: pushed with a diff of keys, deleted. No value comes back. Nothing here may do I/O."""

from __future__ import annotations

from collections.abc import Mapping

from ..commands import env_files, server
from ..commands import traefik as traefik_commands
from ..config.model import Config, Role
from ..flow import Flow, do
from ..rollout import Done
from ..shell import Secret
from .change import OnHost

TRAEFIK = "traefik"
"""What the proxy's file is called among the roles' ones."""


def path_of(config: Config, role: Role) -> str:
    """Where a role's file lies, below the login directory: where the boot writes it, and Kamal."""
    return f"{config.run_directory}/env/roles/{role.name_prefix}.env"


def pushed(change: OnHost, values: Mapping[str, Mapping[str, Secret]]) -> Flow[Done]:
    """Writes the env file of each role in ``values`` (by name; ``traefik`` is the proxy's own).

    ``data["files"]`` maps each to its ``added``, ``removed``, ``changed`` and ``same`` keys.
    """
    places = {name: _path(change.config, name) for name in values}
    writes = [env_files.push(places[name], server.env_text(dict(values[name]))) for name in values]
    results = yield from do(*writes, change.audit("Pushed env files"), fence=change.fence)
    found = {name: env_files.difference(result.stdout) for name, result in zip(values, results, strict=False)}
    told = ", ".join(f"{name}: {difference.words}" for name, difference in found.items())
    files = {name: _as_data(difference) for name, difference in found.items()}
    return Done(f"env files pushed ({told}).", {"files": files})


def deleted(change: OnHost, *, traefik: bool = True) -> Flow[Done]:
    """Deletes the env files of the host's roles, and (``traefik``) the proxy's."""
    names = [role.name for role in change.roles]
    if traefik and any(role.traefik for role in change.roles):
        names.append(TRAEFIK)
    removals = [env_files.delete(_path(change.config, name)) for name in names]
    results = yield from do(*removals, change.audit("Deleted env files"), fence=change.fence)
    gone = [name for name, result in zip(names, results, strict=False) if result.stdout.strip() == "deleted"]
    text = f"env files deleted: {', '.join(gone)}." if gone else "no env file was there."
    return Done(text, {"deleted": tuple(gone)})


def _path(config: Config, name: str) -> str:
    if name == TRAEFIK:
        return traefik_commands.env_file(config.run_directory)
    return path_of(config, config.role(name))


def _as_data(difference: env_files.Difference) -> dict[str, tuple[str, ...]]:
    return {word: getattr(difference, word) for word in env_files.WORDS}
