"""Programs for pretend containers: how the app in an image behaves. The lab's demo app has the same versions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from types import MappingProxyType


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """How a program behaves, all times in seconds.

    It listens from ``listens_after`` on, its check passes from ``ready_after`` on and takes ``check_takes``, an answer
    takes ``answers_in``. ``exits`` is the exit code of one that ends at once. ``dies_after`` and ``sick_after`` (its
    check fails from then on) count from its first real request, ``lives`` from its start. A graceful one
    finishes at SIGTERM what is in flight; a stubborn one ignores SIGTERM. ``memory`` is what it takes, in bytes.
    """

    listens_on: tuple[int, ...] = (3000,)
    exposes: tuple[int, ...] = (3000,)
    loopback: bool = False
    listens_after: float = 0.1
    ready_after: float = 0.15
    check_takes: float = 0.08
    answers_in: float = 0.0
    healthy: bool = True
    exits: int | None = None
    dies_after: float | None = None
    lives: float | None = None
    sick_after: float | None = None
    graceful: bool = True
    stubborn: bool = False
    shell: bool = True
    tool: bool = True
    memory: int = 48 * 1024 * 1024
    says: tuple[str, ...] = ("the app starts",)


APPS: Mapping[str, App] = MappingProxyType(
    {
        **{f"v{number}": App() for number in (1, 2, 3, 4)},
        **{f"rude-{number}": App(graceful=False) for number in (1, 2, 3, 4)},
        "never-healthy": App(healthy=False, says=("the app starts", "never healthy")),
        "exits": App(exits=1, says=("exits at once",)),
        "slow": App(ready_after=8.0),
        "dies": App(dies_after=2.0),
        "loopback": App(loopback=True),
        "wrong-port": App(exposes=(8080,)),
        "two-ports": App(exposes=(3000, 9090)),
        "no-expose": App(exposes=()),
        "no-probe": App(tool=False),
        "no-sh": App(shell=False),
        "sick": App(sick_after=1.0),
        "stubborn": App(stubborn=True),
    }
)
"""By image tag: the lab's versions, and a few more that fail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PretendImage:
    """An image on a pretend host or in its registry."""

    id: str
    app: App
    tags: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)


def digest(tag: str) -> str:
    """The id of the image with this tag: the same on every pretend host."""
    return f"sha256:{sha256(tag.encode()).hexdigest()}"
