"""kamalnb: deploy containers to your own servers over SSH and Docker with no lost request.

    import kamalnb as kn
    kn.Fleet().boot("abc1234").wait()       # what `invoke boot --version=abc1234` does
    kn.pretend(hosts=8).boot("v2").wait()   # the same on pretend hosts, anywhere

Importing this package is light: what a name needs is loaded when the name is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .errors import KamalnbError
    from .fleet import Fleet, Plan, Rollout
    from .testing import pretend

__version__ = "0.1.0"
__all__ = ["Fleet", "KamalnbError", "Plan", "Rollout", "pretend"]

_HOMES = {"Fleet": "fleet", "Plan": "fleet", "Rollout": "fleet", "KamalnbError": "errors", "pretend": "testing"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
