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
    from .notebook import Fleet, Plan, Rollout, options, panel, pretend, show

__version__ = "0.1.0"
__all__ = ["Fleet", "KamalnbError", "Plan", "Rollout", "options", "panel", "pretend", "show"]

_NOTEBOOK = ("Fleet", "Plan", "Rollout", "options", "panel", "pretend", "show")
_HOMES = {"KamalnbError": "errors", **dict.fromkeys(_NOTEBOOK, "notebook")}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])


def load_ipython_extension(shell: Any) -> None:
    """``%load_ext kamalnb``: the line magic ``%kamal``, which only calls the verbs of a fleet."""
    from .notebook.magics import load

    load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """Takes the magic away."""
    from .notebook.magics import unload

    unload(shell)
