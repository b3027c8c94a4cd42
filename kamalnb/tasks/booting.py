"""Tasks that bring a version to serve, and those that say what they would do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..command_line import changes, looks

if TYPE_CHECKING:
    from ..at import At


@changes()
def boot(at: At, version: str | None = None, force: bool = False, dry_run: bool = False, message: str = "") -> int:
    """Replaces what runs by a version, on every chosen host, with no lost request.

    Ctrl-C: hosts before their switch undo, hosts past it finish. Again: leaves now. Without a version: the image
    that is tagged latest.

    invoke boot --version=abc1234
    """
    fleet = at.fleet
    return at.boot(
        lambda how: fleet.boot(version, **how),
        lambda how: fleet.plan(version, **how),
        force=force,
        dry_run=dry_run,
        message=message,
    )


@looks()
def plan(at: At, version: str | None = None, force: bool = False) -> int:
    """Says what a boot would change, host by host; changes nothing.

    invoke plan --version=abc1234
    """
    from ..console.meanwhile import meanwhile
    from ..console.plans import show_plan

    with meanwhile("looking at every host…", at.style):
        made = at.fleet.plan(version, force=force)
    return show_plan(made, at.style)


@looks()
def check(at: At, version: str | None = None) -> int:
    """Looks at everything that a boot needs, on every chosen host; changes nothing.

    invoke check
    """
    from ..check import unusable
    from ..console.checks import show_checks
    from ..console.meanwhile import meanwhile
    from ..errors import ConfigError

    style = at.style
    try:
        with meanwhile("looking at every host…", style):
            rows = at.fleet.check(version)
    except ConfigError as error:
        rows = unusable(error)
    return show_checks(rows, style)


TASKS = (boot, plan, check)
"""In the order of the list."""
