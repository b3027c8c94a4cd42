"""Places in ``deploy.yml``: a path, where secrets are, what is left alone. Nothing here may do I/O."""

from __future__ import annotations

Path = tuple[str | int, ...]
"""``("servers", "web", "hosts", 0)``"""
Problem = tuple[Path, str]
"""Where, and a sentence that says what to write instead."""

_SECRET_PLACES: tuple[tuple[str | None, ...], ...] = (
    ("registry", "password"),
    ("ssh", "key_data", None),
    ("env", "secret"),
    ("env", "tags", None, "secret"),
    ("servers", None, "env", "secret"),
    ("traefik", "env", "secret"),
)
"""Where secrets are; None is any key. Below ``secret`` it is one for each name."""


def left_alone(key: object) -> bool:
    """A top-level key that Kamal acts on and kamalnb does not."""
    return key in ("builder", "accessories") or (isinstance(key, str) and key.startswith("x-"))


def is_secret(path: Path) -> bool:
    """A literal at ``path`` is a secret, or stands where one was put by mistake: it becomes a ``Secret`` at once."""
    length = secret_place(path)
    rest = path[length:] if length else None
    if rest is None or rest[:1] in (("env",), ("file",), ("command",)):
        return False
    return not (len(rest) == 1 and isinstance(rest[0], int))  # [NAME]: a list of names


def secret_place(path: Path) -> int:
    """How much of ``path`` leads to the secret that it is in; 0 where it is in none."""
    for place in _SECRET_PLACES:
        if len(path) >= len(place) and all(want in (part, None) for want, part in zip(place, path, strict=False)):
            named = place[-1] == "secret" and len(path) > len(place) and isinstance(path[len(place)], str)
            return len(place) + named if place[-1] != "secret" or len(path) > len(place) else 0
    return 0
