"""What a version may look like: it is an image tag and part of container names. Nothing here may do I/O."""

from __future__ import annotations

import re

from ..errors import UsageError

_VERSION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")  # Docker's rule for tags


def check_version(version: str) -> str:
    """``version`` as it is, or UsageError where no image can have that tag."""
    if not _VERSION.fullmatch(version):
        what = "letters, digits, _, . and -, at most 128, not beginning with . or -"
        raise UsageError(f"{version[:140]!r} cannot be a version: {what}. Name one like abc1234.")
    return version


def abbreviated(version: str) -> str:
    """``version`` for people: 7 characters, unless it has a ``_`` (``…_uncommitted_…``), as Kamal shows it."""
    return version if "_" in version else version[:7]
