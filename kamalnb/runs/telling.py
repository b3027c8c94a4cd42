"""Events that every run tells in the same words: notes, hosts that cannot be used, the end."""

from __future__ import annotations

from collections.abc import Mapping

from .. import events, exits
from ..engine import Engine
from ..events import Event, Fact


def note(
    engine: Engine, text: str, *, kind: str = "note", warning: bool = False, data: Mapping[str, object] | None = None
) -> Event:
    """Something about the run as a whole."""
    return events.FactLearned(at=engine.now(), fact=Fact(kind=kind, text=text, warning=warning, data=data or {}))


def refused(engine: Engine, host: str, roles: tuple[str, ...], why: str, kind: str, fix: str = "") -> list[Event]:
    """A host that cannot be used, for each of its roles; nothing was changed there."""
    return [
        events.HostFailed(
            at=engine.now(),
            host=host,
            role=role,
            phase=None,
            error=why,
            kind=kind,
            serving="Nothing was changed.",
            hint=fix,
        )
        for role in roles
    ]


def finished(engine: Engine, ok: bool, sentence: str, exit_code: int = 1) -> Event:
    """The end."""
    cancelled = engine.cancelled
    code = exits.STOPPED if cancelled else exits.OK if ok else exit_code
    return events.RunFinished(at=engine.now(), ok=ok, sentence=sentence, exit_code=code, cancelled=cancelled)
