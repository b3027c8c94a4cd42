"""``lab.*``: real hosts on this machine."""

from __future__ import annotations

from invoke.collection import Collection
from invoke.context import Context

from ..command_line import face, program


@face()
def up(c: Context, count: int = 2, ports: bool = False, directory: str = ".lab", docker: str = "stable") -> None:
    """Brings up real hosts on this machine, with sshd, Docker and Traefik, and a deploy.yml for them.

    invoke lab.up --count=3
    """
    from ..lab import tasks as lab_face

    lab_face.up(directory, count, ports, docker, program())


@face()
def down(c: Context, directory: str = ".lab") -> None:
    """Removes the lab and everything that it made.

    invoke lab.down
    """
    from ..lab import tasks as lab_face

    lab_face.down(directory)


@face()
def status(c: Context, directory: str = ".lab", json: bool = False) -> int:
    """The lab's hosts: where they are, whether they run, what they have.

    invoke lab.status
    """
    from ..lab import tasks as lab_face

    return lab_face.status(directory, json)


@face(positional=("host",))
def ssh(c: Context, host: str, directory: str = ".lab") -> None:
    """A shell on a host of the lab.

    invoke lab.ssh web-1
    """
    from ..lab import tasks as lab_face

    lab_face.ssh(directory, host)


GROUPS = (Collection("lab", up, down, status, ssh),)
"""``lab``."""
