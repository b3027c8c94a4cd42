"""Tasks for the app's containers, one for each command of Kamal's ``app`` besides boot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..command_line import changes, looks

if TYPE_CHECKING:
    from ..at import At


@changes()
def start(at: At, version: str | None = None) -> int:
    """Starts a stopped container of each role again: in the dark, checked, then routed.

    invoke start --roles=web
    """
    return at.change(lambda how: at.fleet.start(version, **how))


@changes()
def stop(at: At, version: str | None = None) -> int:
    """Stops the running containers of each role: cut and drained first, so that no request is lost on the way.

    invoke stop --hosts=web-2
    """
    return at.change(lambda how: at.fleet.stop(version, **how))


@looks()
def details(at: At) -> int:
    """Every container with all that is known of it: name, image, id, who booted it from which revision.

    invoke details
    """
    from dataclasses import replace

    from ..reads import containers

    at.style = replace(at.style, verbose=True)
    return at.show(containers.READ)


@changes(name="stale-containers")
def stale_containers(at: At, stop: bool = False) -> int:
    """Containers that run besides the one that serves; --stop cuts, drains and stops them.

    invoke stale-containers --stop
    """
    from ..reads import containers

    if stop:
        return at.change(lambda how: at.fleet.stop_stale(**how))
    return at.show(containers.STALE)


@changes()
def remove(at: At, yes: bool = False) -> int:
    """Removes every container and image of the service on the chosen hosts. Asks first.

    invoke remove --hosts=web-2
    """
    sure = f"Remove every container and image on {at.whom()}?"
    return at.change(lambda how: at.fleet.remove(**how), sure=sure, yes=yes)


@changes(name="remove-container", positional=("version",))
def remove_container(at: At, version: str, yes: bool = False) -> int:
    """Removes the containers of one version. Asks first where one of them may serve.

    invoke remove-container abc1234
    """
    sure = f"Remove the containers of {version} on {at.whom()}?"
    return at.change(lambda how: at.fleet.remove_container(version, **how), sure=sure, yes=yes)


@changes(name="remove-containers")
def remove_containers(at: At, yes: bool = False) -> int:
    """Removes every container of the service on the chosen hosts. Asks first.

    invoke remove-containers --roles=jobs --yes
    """
    sure = f"Remove every container on {at.whom()}?"
    return at.change(lambda how: at.fleet.remove_containers(**how), sure=sure, yes=yes)


@changes(name="remove-images")
def remove_images(at: At, yes: bool = False) -> int:
    """Removes the service's images, but for those that a container is made from. Asks first.

    invoke remove-images --yes
    """
    sure = f"Remove the images that no container uses on {at.whom()}?"
    return at.change(lambda how: at.fleet.remove_images(**how), sure=sure, yes=yes)


TASKS = (start, stop, details, stale_containers, remove, remove_container, remove_containers, remove_images)
"""In the order of the list."""
