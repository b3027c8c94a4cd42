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


@changes()
def deploy(at: At, version: str | None = None, force: bool = False, dry_run: bool = False, message: str = "") -> int:
    """Login, pull everywhere, release command, boot, prune, with the project's hooks at their places.

    The version comes from --version, $VERSION or git. Hosts that serve it with the same settings are passed over.

    invoke deploy --version=abc1234
    """
    fleet = at.fleet
    return at.boot(
        lambda how: fleet.deploy(version, **how),
        lambda how: fleet.plan(version, verb="deploy", **how),
        force=force,
        dry_run=dry_run,
        message=message,
    )


@changes()
def redeploy(at: At, version: str | None = None, force: bool = False, dry_run: bool = False, message: str = "") -> int:
    """A deploy without registry login, Traefik and prune.

    invoke redeploy --version=abc1234
    """
    fleet = at.fleet
    return at.boot(
        lambda how: fleet.redeploy(version, **how),
        lambda how: fleet.plan(version, verb="redeploy", **how),
        force=force,
        dry_run=dry_run,
        message=message,
    )


@changes()
def undo(at: At, dry_run: bool = False, message: str = "") -> int:
    """Takes the last version away: what served before serves again, the quickest way there is on each host.

    invoke undo
    """
    fleet = at.fleet
    return at.boot(
        lambda how: fleet.undo(**how), lambda how: fleet.plan(verb="undo", **how), dry_run=dry_run, message=message
    )


@changes()
def rollback(
    at: At, version: str | None = None, dry_run: bool = False, message: str = "", candidates: bool = False
) -> int:
    """Brings a version back to serve, the quickest way there is on each host; without one: what served before.

    invoke rollback --version=abc1234
    """
    fleet = at.fleet
    if candidates:
        from ..console.tables import show_table

        return show_table(fleet.candidate_table(), at.style)
    return at.boot(
        lambda how: fleet.rollback(version, **how),
        lambda how: fleet.plan(version, verb="rollback", **how),
        dry_run=dry_run,
        message=message,
    )


@changes()
def setup(at: At, version: str | None = None, yes: bool = False) -> int:
    """The first day: Docker on every host, registry login, env files, Traefik, then a deploy.

    What is there already is passed over, so the same command goes on after a failure. Says what it would install on
    the hosts, and asks first.

    invoke setup --version=abc1234
    """
    from ..console.confirming import must_agree

    fleet, config = at.fleet, at.fleet.config
    if not yes:
        if code := at.follow(fleet.bootstrap(only_look=True, **at.how())):
            return code
        must_agree(f"Make {at.whom()} ready, and deploy there?")
    asks_for_login = bool(config.registry.username and config.registry.password)
    for step in (fleet.bootstrap, *([fleet.login] if asks_for_login else []), fleet.push_env, fleet.boot_traefik):
        if code := at.follow(step(**at.how())):
            return code
    return at.boot(lambda how: fleet.deploy(version, **how), lambda how: fleet.plan(version, verb="deploy", **how))


TASKS = (setup, boot, deploy, redeploy, undo, rollback, plan, check)
"""In the order of the list."""
