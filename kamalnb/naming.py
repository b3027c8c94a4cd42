"""The name of the container that serves: Kamal reads the version from it, so it is the plain one. No I/O here.

A container steps aside (``_replaced_…``) for a new one of its version. It may serve again: after an undo, where the new
one gave way, or died. Then it gets its name back, and whoever has it steps aside in its turn.
"""

from __future__ import annotations

from .commands import app
from .config.model import Role
from .cutover import version_of
from .docker import Container
from .shell import Command


def misnamed(container: Container, role: Role) -> bool:
    """Whether it still has the name under which it stepped aside. Names that people gave are left alone."""
    plain, replaced, _ = container.name.partition("_replaced_")
    return bool(replaced) and plain == role.container_name(version_of(container, role))


def named(container: Container, role: Role, nonce: str) -> tuple[Command, ...]:
    """What gives the container that serves its name, in one command; nothing where it has it."""
    if not misnamed(container, role):
        return ()
    name = role.container_name(version_of(container, role))
    # Not the suffix of a boot: that one may have sent another container aside in the same run.
    return (app.named(container.id, name, f"{name}_replaced_{nonce[-16:]}"),)
