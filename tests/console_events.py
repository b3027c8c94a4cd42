"""Fabricated runs for the tests of presenters: events as an engine would tell them, with round times."""

from __future__ import annotations

from typing import Any

from kamalnb import events
from kamalnb.events import Event, Fact, Phase
from kamalnb.report import Report

WEB_1, WEB_2 = ("web-1", "web"), ("web-2", "web")
NONCE = "56b247a9" * 8


def at(moment: float, who: tuple[str, str], kind: type[Event], /, **fields: Any) -> Event:
    return kind(at=moment, host=who[0], role=who[1], **fields)


def started(*targets: tuple[str, str], version: str = "v2", verb: str = "boot") -> Event:
    return events.RunStarted(
        at=0.0, run_id="r1", verb=verb, service="app", version=version, targets=targets or (WEB_1, WEB_2)
    )


def note(seconds: float, text: str, *, warning: bool = False, **data: Any) -> Event:
    return events.FactLearned(
        at=seconds, fact=Fact(kind="version" if data else "note", text=text, warning=warning, data=data)
    )


def cutover(seconds: float, who: tuple[str, str], old: str, new: str) -> Event:
    fact = Fact(
        kind="cutover", text=f"{old} → {new}: up-switch into green, level +1", data={"direction": "up", "from": old}
    )
    return at(seconds, who, events.FactLearned, fact=fact)


def phase(seconds: float, who: tuple[str, str], phase: Phase) -> Event:
    return at(seconds, who, events.PhaseEntered, phase=phase)


def printed(seconds: float, who: tuple[str, str], line: str, name: str = "wait for proxy") -> Event:
    return at(seconds, who, events.LinePrinted, name=name, line=line)


def booted(seconds: float, who: tuple[str, str], new: str = "v2", old: str | None = "v1") -> Event:
    return at(seconds, who, events.HostBooted, version=new, replaced=old)


def failed(seconds: float, who: tuple[str, str], **changes: Any) -> Event:
    given: dict[str, Any] = {
        "phase": Phase.VERIFY,
        "error": "The app did not become healthy within 30 s.",
        "kind": "BootError",
        "serving": "v1 serves, as before.",
        "hint": "Look at its log; give it more time with deploy_timeout.",
        "log": ("listening on 3000", "cannot reach the database"),
        "health": ("curl: (22) The requested URL returned error: 503",),
        "kept": "/home/deploy/.kamal/logs/app-web-v2-56b247a9.log",
    }
    return at(seconds, who, events.HostFailed, **{**given, **changes})


def finished(seconds: float, ok: bool, sentence: str, exit_code: int = 0) -> Event:
    return events.RunFinished(at=seconds, ok=ok, sentence=sentence, exit_code=exit_code)


def good_run() -> list[Event]:
    """One host from v1 to v2, with nothing going wrong."""
    return [
        started(WEB_2),
        note(0.0, "looking at 1 host"),
        note(0.5, "version v2", version="v2"),
        phase(0.6, WEB_2, Phase.OBSERVE),
        cutover(1.0, WEB_2, "v1", "v2"),
        phase(1.1, WEB_2, Phase.PREPARE),
        at(
            1.2,
            WEB_2,
            events.StepFinished,
            name="env file",
            line="printf %s '[REDACTED]' | k_write x",
            exited=0,
            seconds=0.01,
        ),
        phase(1.2, WEB_2, Phase.START),
        phase(2.0, WEB_2, Phase.VERIFY),
        phase(2.5, WEB_2, Phase.READY),
        phase(2.5, WEB_2, Phase.SWITCH),
        printed(2.6, WEB_2, "waiting for health"),
        printed(3.4, WEB_2, "acknowledged"),
        phase(3.5, WEB_2, Phase.COMMIT),
        printed(4.0, WEB_2, "confirmed"),
        phase(4.0, WEB_2, Phase.DRAIN),
        printed(4.1, WEB_2, "open 2"),
        printed(4.1, WEB_2, "open 2"),
        printed(4.4, WEB_2, "open 0"),
        phase(4.6, WEB_2, Phase.STOP),
        printed(5.0, WEB_2, f"exit 0 {NONCE}"),
        phase(5.1, WEB_2, Phase.DONE),
        booted(5.1, WEB_2),
        finished(5.6, True, "v2 serves on web-2 instead of v1, in 5.6 s."),
    ]


def half_failed_run() -> list[Event]:
    """web-1 serves, web-2 failed and went back."""
    return [
        started(),
        phase(0.6, WEB_1, Phase.OBSERVE),
        phase(0.6, WEB_2, Phase.OBSERVE),
        cutover(1.0, WEB_1, "v1", "v2"),
        cutover(1.0, WEB_2, "v1", "v2"),
        phase(2.0, WEB_2, Phase.VERIFY),
        booted(5.0, WEB_1),
        phase(32.0, WEB_2, Phase.UNDO),
        failed(33.0, WEB_2),
        finished(33.2, False, "v2 serves on web-1 instead of v1; web on web-2 failed, in 33.2 s.", 1),
    ]


def folded(events_: list[Event]) -> Report:
    report = Report()
    for event in events_:
        report = report.after(event)
    return report
