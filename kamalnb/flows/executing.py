"""What comes before a person's own command runs on a host: which container or image, the env file, the audit line.

No I/O here. The command itself is not part of the flow: it prints as it runs, and lives as long as its connection.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..commands import app, exec, server
from ..commands.exec import ExecOptions, OneOff
from ..config.model import Config, Role
from ..cutover import belongs, version_of
from ..docker import Container
from ..errors import KamalnbError
from ..flow import Flow, ask_all, do
from ..shell import Command, Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One host (and role) on which a command is to run. ``run_id`` names its one-off container: used once."""

    config: Config
    host: str
    role: Role
    options: ExecOptions
    performer: str
    run_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """What is to run there: ``over`` ends it where the connection is lost, if anything can.

    ``where`` is the container's name, ``what`` the image or the container in words.
    """

    host: str
    role: str
    version: str
    where: str
    what: str
    command: Command
    over: Command | None = None
    forget: Command | None = None
    """Takes away what was written for the command, where it could not be run at all."""


def prepared(asked: Asked) -> Flow[Launch]:
    """Looks, writes the audit line, and says what is to run. Raises where nothing fits."""
    home, containers = yield from ask_all(server.home(), app.census(asked.config.service))
    mine = [one for one in containers if belongs(one, asked.role) and one.running]
    mine.sort(key=lambda one: (one.routable, one.created), reverse=True)
    directory = app.absolute(asked.config.run_directory, home)
    if asked.options.reuse:
        launch = _reusing(asked, mine)
        yield from do(_audit(asked, directory, launch.version, asked.role.name))
        return (yield from _private(asked, directory, launch))
    one = _one_off(asked, directory, mine)
    yield from do(server.touch_env_file(one.env_file), _audit(asked, directory, one.version, ""))
    launch = Launch(
        host=asked.host,
        role=asked.role.name,
        version=one.version,
        where=one.name,
        what=one.reference,
        command=exec.run(one, asked.options),
        over=None if asked.options.detach else exec.remove(one.name),
    )
    return (yield from _private(asked, directory, launch))


def explained(launch: Launch, options: ExecOptions, result: Result, printed: str) -> str:
    """Why it did not end well, in a sentence; ``printed`` is the end of its standard error.

    A docker that is asked to ``exec`` a program that is not there says so on standard output (20.10 does).
    """
    if result.exited is None:
        left = "" if launch.over else " It may still run there." if not options.detach else ""
        return f"{result.stderr or 'it gave no exit code'}.{left}"
    last = next((line for line in reversed(printed.strip().splitlines()) if "--help" not in line), "")
    if result.exited in (126, 127) and ("executable file" in printed or "OCI runtime" in printed):
        if "permission denied" in printed:
            return f"“{options.words[0]}” in {launch.what} may not be executed."
        return f"there is no program “{options.words[0]}” in {launch.what}. Its name, or its path, is another one."
    if result.exited == 125 and not options.reuse:
        why = last.removeprefix("docker: ").removeprefix("Error response from daemon: ").rstrip(".")
        return f"Docker did not start a container of {launch.what}: {why}."
    return f"it ended with exit code {result.exited}."


def _private(asked: Asked, directory: str, launch: Launch) -> Flow[Launch]:
    """A terminal leaves no stdin to send a script on, so values of ``--env`` wait for it in a file of their own."""
    if not (asked.options.interactive and asked.options.env):
        return launch
    path = f"{directory}/exec-{asked.run_id}"
    yield from do(exec.kept(path, launch.command))
    return replace(launch, command=exec.from_file(path), forget=exec.forget(path))


def _reusing(asked: Asked, running: list[Container]) -> Launch:
    wanted = asked.options.version
    fitting = [one for one in running if wanted is None or version_of(one, asked.role) == wanted]
    if not fitting:
        which = f"version {wanted} of role" if wanted else "role"
        raise KamalnbError(
            f"{asked.host}: no container of {which} {asked.role.name} runs there. "
            "Leave out --reuse to run it in a new one."
        )
    container = fitting[0]
    return Launch(
        host=asked.host,
        role=asked.role.name,
        version=version_of(container, asked.role),
        where=container.name,
        what=container.name,
        command=exec.exec_in(container.id, asked.options),
    )


def _one_off(asked: Asked, directory: str, running: list[Container]) -> OneOff:
    role, config = asked.role, asked.config
    version = asked.options.version or (version_of(running[0], role) if running else config.latest_tag)
    reference = f"{config.repository}:{version}"
    if running and asked.options.version is None:
        reference = running[0].image
    return OneOff(
        host=asked.host,
        role=role,
        version=version,
        reference=reference,
        name=exec.name_of(role, asked.run_id),
        env_file=f"{directory}/env/roles/{role.name_prefix}.env",
    )


def _audit(asked: Asked, directory: str, version: str, role: str) -> Command:
    """Kamal's own words; it names the role where the command runs in that role's container."""
    path = server.audit_path(asked.config.service, asked.config.destination, directory)
    text = f"Executed cmd '{asked.options.command}' on app version {version}"
    return server.audit(path, (asked.performer, asked.config.destination or "", role), text)
