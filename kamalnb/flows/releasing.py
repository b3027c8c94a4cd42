"""The release command: once, in a container of the new image, before anything is booted. Nothing here may do I/O."""

from __future__ import annotations

import shlex
from dataclasses import replace

from ..commands import app, exec, server
from ..commands.exec import ExecOptions, OneOff
from ..config.model import Release
from ..errors import BootError, CommandFailed
from ..events import Fact
from ..flow import Flow, Tell, ask, do
from ..rollout import Done
from .change import OnHost
from .env_files import path_of


def released(place: OnHost, release: Release, version: str, reference: str) -> Flow[Done]:
    """Runs ``release`` there. Raises ``BootError`` where it fails or takes too long; nothing was booted then."""
    role = place.config.role(release.role)
    home = yield from ask(server.home())
    one = OneOff(
        host=place.host, role=role, version=version, reference=reference,
        name=exec.name_of(role, f"release-{place.nonce[:16]}"),
        env_file=app.absolute(path_of(place.config, role), home),
    )  # fmt: skip
    options = ExecOptions(command=shlex.join(["sh", "-c", release.cmd]), version=version)
    command = replace(exec.run(one, options), name="release", limit=release.timeout)
    watch = (exec.end_with_lock(one.name, *place.fence),) if place.fence else ()
    yield Tell(Fact(kind="release", text=f"release command: {release.cmd}"))
    audit = place.audit(f"Ran release command on app version {version}", role.name)
    yield from do(audit, fence=place.fence)  # apart: the time limit is the release command's own
    try:
        yield from do(*watch, command, fence=place.fence)
    except CommandFailed as error:
        yield from do(exec.remove(one.name).failing_ok(), fence=place.fence)
        raise BootError(
            _why(error, release),
            serving="Nothing was booted.",
            log=tuple((error.result.stdout + error.result.stderr).splitlines()[-20:]),
            hint="Mend it, then deploy again; the release command must not mind to run twice.",
        ) from error
    return Done(f"release command done: {release.cmd}")


def _why(error: CommandFailed, release: Release) -> str:
    if error.result.exited is None:
        return f"The release command took more than {release.timeout:g} s, or its connection was lost."
    return f"The release command ended with exit code {error.result.exited}."
