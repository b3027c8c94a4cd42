"""``traefik.*``: the proxy on each host."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invoke.collection import Collection

from ..command_line import changes

if TYPE_CHECKING:
    from ..at import At


@changes()
def boot(at: At) -> int:
    """Starts Traefik on every chosen host where it does not run. One that runs is never touched.

    invoke traefik.boot
    """
    from ..console.meanwhile import meanwhile
    from ..console.outcomes import show_outcomes

    with meanwhile("starting Traefik; an image that is not there yet is pulled first…", at.style):
        outcomes = at.fleet.boot_traefik()
    return show_outcomes("traefik", outcomes, at.style)


GROUPS = (Collection("traefik", boot),)
"""``traefik``."""
