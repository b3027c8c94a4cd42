"""``env.*``, ``registry.*``, ``prune.*`` and ``server.*``: what surrounds the app on the hosts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invoke.collection import Collection

from ..command_line import changes, looks

if TYPE_CHECKING:
    from ..at import At


@changes()
def push(at: At) -> int:
    """Writes the secret env files on every chosen host, and tells which keys were added, changed or removed.

    invoke env.push
    """
    return at.change(lambda how: at.fleet.push_env(**how))


@changes()
def delete(at: At, yes: bool = False) -> int:
    """Deletes the secret env files on every chosen host. Asks first.

    invoke env.delete --yes
    """
    return at.change(lambda how: at.fleet.delete_env(**how), sure=f"Delete the env files on {at.whom()}?", yes=yes)


@changes()
def login(at: At) -> int:
    """Logs the Docker of every chosen host in to the registry; the password travels on stdin.

    invoke registry.login
    """
    return at.change(lambda how: at.fleet.login(**how))


@changes()
def logout(at: At) -> int:
    """Makes the Docker of every chosen host forget the registry's login.

    invoke registry.logout
    """
    return at.change(lambda how: at.fleet.logout(**how))


@changes(name="all")
def prune_all(at: At) -> int:
    """Removes old containers and images; never what runs, nor what served before it.

    invoke prune.all
    """
    return at.change(lambda how: at.fleet.prune("all", **how))


@changes()
def containers(at: At) -> int:
    """Removes stopped containers beyond retain_containers, and cords that no container has.

    invoke prune.containers
    """
    return at.change(lambda how: at.fleet.prune("containers", **how))


@changes()
def images(at: At) -> int:
    """Removes images that no container uses.

    invoke prune.images
    """
    return at.change(lambda how: at.fleet.prune("images", **how))


@changes()
def bootstrap(at: At, yes: bool = False) -> int:
    """Makes Docker run on every chosen host. Says what it would install, and asks first.

    invoke server.bootstrap
    """
    if not yes and (code := at.follow(at.fleet.bootstrap(only_look=True, **at.how()))):
        return code
    return at.change(lambda how: at.fleet.bootstrap(**how), sure="Do that now?", yes=yes)


@changes(name="exec", positional=("command",))
def execute(at: At, command: str) -> int:
    """Runs a shell line on every chosen host itself.

    invoke server.exec "df -h /"
    """
    return at.change(lambda how: at.fleet.run_on_hosts(command, **how))


@looks()
def keys(at: At) -> int:
    """The host keys that each host shows, with fingerprints, as lines for config/known_hosts.

    Compare the fingerprints with what the host's own console says before you trust them.

    invoke server.keys
    """
    from ..console.keys import show_keys
    from ..console.meanwhile import meanwhile

    with meanwhile("asking every host for its keys…", at.style):
        found = at.fleet.host_keys()
    return show_keys(found, at.style)


@changes(name="remove", positional=("host",))
def remove_host(at: At, host: str, yes: bool = False) -> int:
    """Takes everything of this service off one host: cut, drained, stopped, removed, its files too. Asks first.

    invoke server.remove web-3
    """
    from ..wording import some

    fleet = at.fleet.where(hosts=host)
    sure = f"Remove everything of this service on {some(fleet.names, 'hosts')}?"
    return at.change(lambda how: fleet.remove_hosts(**how), sure=sure, yes=yes)


GROUPS = (
    Collection("env", push, delete),
    Collection("registry", login, logout),
    Collection("prune", prune_all, containers, images),
    Collection("server", bootstrap, execute, keys, remove_host),
)
"""Four groups."""
