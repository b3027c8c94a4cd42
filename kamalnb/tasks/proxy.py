"""``traefik.*``: the proxy on each host."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invoke.collection import Collection

from ..command_line import changes, looks

if TYPE_CHECKING:
    from ..at import At


@changes()
def boot(at: At) -> int:
    """Starts Traefik on every chosen host where it does not run. One that runs is never touched.

    invoke traefik.boot
    """
    return at.change(lambda how: at.fleet.boot_traefik(**how))


@changes()
def reboot(at: At, rolling: bool = False, major: bool = False, yes: bool = False) -> int:
    """Replaces Traefik by one as deploy.yml says. Shows the difference and the expected gap first, then asks.

    The old one comes back where the new one does not come up.

    invoke traefik.reboot --rolling
    """
    from ..flows.traefik_host import USUAL_GAP
    from ..reads import proxies

    if not at.style.json and (code := at.show(proxies.differences())):
        return code
    low, high = USUAL_GAP
    sure = f"Each host has no proxy for {low:g} to {high:g} s. Reboot Traefik on {at.whom()}?"
    return at.change(
        lambda how: at.fleet.reboot_traefik(rolling=rolling, major=major, yes=yes, **how), sure=sure, yes=yes
    )


@changes()
def start(at: At) -> int:
    """Starts the Traefik that was stopped, as it is.

    invoke traefik.start
    """
    return at.change(lambda how: at.fleet.start_traefik(**how))


@changes()
def stop(at: At, yes: bool = False) -> int:
    """Stops Traefik: nobody is served by these hosts then. Asks first.

    invoke traefik.stop --hosts=web-2
    """
    sure = f"Nobody is served by {at.whom()} then. Stop Traefik?"
    return at.change(lambda how: at.fleet.stop_traefik(**how), sure=sure, yes=yes)


@changes()
def restart(at: At, rolling: bool = False) -> int:
    """Stops and starts Traefik, and waits until it routes as before.

    invoke traefik.restart --rolling
    """
    return at.change(lambda how: at.fleet.restart_traefik(rolling=rolling, **how))


@changes()
def remove(at: At, yes: bool = False) -> int:
    """Stops Traefik and takes its container and image away. Asks first.

    invoke traefik.remove --hosts=web-2
    """
    sure = f"Nobody is served by {at.whom()} then. Remove Traefik?"
    return at.change(lambda how: at.fleet.remove_traefik(**how), sure=sure, yes=yes)


@looks()
def details(at: At) -> int:
    """Each host's Traefik: its version, ports and settings, and whether it is as deploy.yml says.

    invoke traefik.details
    """
    from ..reads import proxies

    return at.show(proxies.details())


@looks()
def logs(at: At, since: str = "", lines: int = 0, grep: str = "") -> int:
    """Traefik's log on every chosen host, merged by time.

    invoke traefik.logs --since=10m
    """
    from ..reads import proxies

    return at.show(proxies.logs(since=since or None, lines=lines or None, grep=grep or None))


GROUPS = (Collection("traefik", boot, reboot, start, stop, restart, remove, details, logs),)
"""``traefik``."""
