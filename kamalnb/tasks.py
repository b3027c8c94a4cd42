"""The Invoke tasks: ``from kamalnb.tasks import ns`` in a project's ``tasks.py`` is all it takes.

Each task says what a person wants done; how is in ``fleet`` and ``lab``. Both are imported when a task runs, so that
``invoke --list`` stays quick.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from invoke.collection import Collection
from invoke.context import Context
from invoke.tasks import task

from .command_line import FaceTask, chosen, program, words

if TYPE_CHECKING:
    from .console import Style
    from .fleet import Fleet
    from .wording import Called


@task(klass=FaceTask)
def boot(
    c: Context,
    version: str | None = None,
    roles: list[str] | None = None,
    hosts: list[str] | None = None,
    primary: bool = False,
    destination: str | None = None,
    config_file: str | None = None,
    skip_unreachable: bool = False,
    dry_run: bool = False,
    json: bool = False,
    verbose: bool = False,
    quiet: bool = False,
) -> int:
    """Replaces what runs by a version, on every chosen host, with no lost request.

    Ctrl-C: hosts before their switch undo, hosts past it finish. Again: leaves now.
    """
    from .console import follow, presenter

    style = _style(config_file, destination, json, verbose, quiet)
    fleet = _fleet(config_file, destination, roles, hosts, primary)
    rollout = fleet.boot(version, skip_unreachable=skip_unreachable, dry_run=dry_run)
    return follow(rollout, presenter(style, dry_run=dry_run))


@task(klass=FaceTask)
def check(
    c: Context,
    version: str | None = None,
    roles: list[str] | None = None,
    hosts: list[str] | None = None,
    primary: bool = False,
    destination: str | None = None,
    config_file: str | None = None,
    json: bool = False,
    verbose: bool = False,
    quiet: bool = False,
) -> int:
    """Looks at everything that a boot needs, on every chosen host; changes nothing."""
    from .check import unusable
    from .console.checks import show_checks
    from .console.meanwhile import meanwhile
    from .errors import ConfigError

    style = _style(config_file, destination, json, verbose, quiet)
    try:
        with meanwhile("looking at every host…", style):
            rows = _fleet(config_file, destination, roles, hosts, primary).check(version)
    except ConfigError as error:
        rows = unusable(error)
    return show_checks(rows, style)


@task(klass=FaceTask, name="boot")
def boot_traefik(
    c: Context,
    roles: list[str] | None = None,
    hosts: list[str] | None = None,
    primary: bool = False,
    destination: str | None = None,
    config_file: str | None = None,
    json: bool = False,
) -> int:
    """Starts Traefik on every chosen host where it does not run."""
    from .console.meanwhile import meanwhile
    from .console.outcomes import show_outcomes

    style = _style(config_file, destination, json)
    with meanwhile("starting Traefik; an image that is not there yet is pulled first…", style):
        outcomes = _fleet(config_file, destination, roles, hosts, primary).boot_traefik()
    return show_outcomes("traefik", outcomes, style)


@task(klass=FaceTask)
def up(c: Context, count: int = 2, ports: bool = False, directory: str = ".lab") -> None:
    """Brings up real hosts on this machine, with sshd, Docker and Traefik, and a deploy.yml for them."""
    from .lab import tasks as lab_face

    lab_face.up(directory, count, ports, program())


@task(klass=FaceTask)
def down(c: Context, directory: str = ".lab") -> None:
    """Removes the lab and everything that it made."""
    from .lab import tasks as lab_face

    lab_face.down(directory)


@task(klass=FaceTask)
def status(c: Context, directory: str = ".lab", json: bool = False) -> int:
    """The lab's hosts: where they are, whether they run, what they have."""
    from .lab import tasks as lab_face

    return lab_face.status(directory, json)


@task(klass=FaceTask, positional=("host",))
def ssh(c: Context, host: str, directory: str = ".lab") -> None:
    """A shell on a host of the lab."""
    from .lab import tasks as lab_face

    lab_face.ssh(directory, host)


@task(klass=FaceTask)
def schema(c: Context) -> None:
    """The JSON Schema of deploy.yml, for editors."""
    import json

    from .config.schema import json_schema

    print(json.dumps(json_schema(), indent=2, ensure_ascii=False))


def _fleet(
    config_file: str | None, destination: str | None, roles: list[str] | None, hosts: list[str] | None, primary: bool
) -> Fleet:
    from .fleet import Fleet

    return Fleet(
        config_file=config_file,
        destination=destination,
        roles=words(roles or ()),
        hosts=words(hosts or ()),
        primary=primary,
    )


def _style(
    config_file: str | None, destination: str | None, json: bool = False, verbose: bool = False, quiet: bool = False
) -> Style:
    from .console import Style

    return Style(json=json, verbose=verbose, quiet=quiet, called=_called(config_file, destination))


def _called(config_file: str | None, destination: str | None) -> Called:
    from .wording import Called

    return Called(program(), tuple(chosen(config_file, destination)))


def _collection() -> Collection:
    root = Collection(boot, check)
    root.add_collection(Collection("traefik", boot_traefik))
    root.add_collection(Collection("lab", up, down, status, ssh))
    root.add_collection(Collection("config", schema))
    return root


ns = _collection()
"""Every task of kamalnb."""
