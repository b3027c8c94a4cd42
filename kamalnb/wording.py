"""Events and reports in words, for every presenter: terminal, notebook and log say the same. No I/O here."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from .config.versions import abbreviated
from .events import HostFailed, Phase
from .report import Line, Report, State

PHASES: Mapping[Phase, str] = {
    Phase.OBSERVE: "looking at what runs there",
    Phase.PREPARE: "env file, cord, leftovers",
    Phase.START: "starting the new container, still dark",
    Phase.VERIFY: "asking the new container",
    Phase.READY: "verified, ready to switch",
    Phase.SWITCH: "switching over",
    Phase.SOAK: "watching the new container",
    Phase.COMMIT: "taking the old container out",
    Phase.DRAIN: "letting open requests finish",
    Phase.STOP: "stopping the old container",
    Phase.DONE: "done",
    Phase.UNDO: "taking everything back",
}

_SPOKEN: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), words)
    for pattern, words in (
        (r"waiting for health", "waiting for Docker to call it healthy"),
        (r"waiting for (?:proxy|router|service)", "waiting for Traefik to route to it"),
        (r"acknowledged", "Traefik routes to it"),
        (r"confirmed", "Traefik has let it go"),
        (r"assumed", "Traefik cannot be asked: waiting instead"),
        (r"open 0|left 0", "no request is open on the old container"),
        (r"(?:open|left) 1", "1 connection is open on the old container"),
        (r"(?:open|left) (\d+)", r"\1 connections are open on the old container"),
        (r"(?:open|left) unknown", "connections of the old container cannot be counted"),
        (r"gap ([\d.]+)", r"Traefik routes again, after \1 s"),
        (r"missing (.+)", r"Traefik does not route to \1"),
        (r"old again", "the old Traefik runs again"),
        (r"state (\w+) \d+ (\w+)", r"the container is \1, its health \2"),
        (r"exit (\d+) [0-9a-f]{12,}", r"it ended with exit code \1"),
        (r"gone [0-9a-f]{12,}", "it was gone already"),
        (r"(?:sha256:)?[0-9a-f]{64}", ""),
    )
)


@dataclass(frozen=True, slots=True)
class Called:
    """How the program was called, so that hints can be typed as they stand.

    ``program`` is what stands before a task's name; ``options`` are the words that chose the configuration.
    """

    program: str = "invoke"
    options: tuple[str, ...] = field(default=())

    def spelled(self, sentence: str) -> str:
        """``sentence`` with each ``invoke TASK`` in it as this program would be called."""
        return re.sub(
            r"\binvoke ([a-z]+(?:[.-][a-z]+)*)",
            lambda found: " ".join((self.program, found[1], *self.options)),
            sentence,
        )


def clean(text: str) -> str:
    """``text`` without what could steer a terminal: hosts print what they like."""
    text = text.rstrip()
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\t" else "?" for c in text)


def spoken(line: str) -> str:
    """A line of a waiting script in words; any other line as it is, cleaned."""
    text = clean(line).strip()
    for pattern, words in _SPOKEN:
        found = pattern.fullmatch(text)
        if found:
            return found.expand(words)
    return text


def short(version: str) -> str:
    """A version that fits a column: commit hashes as Kamal shortens them, other long ones cut."""
    version = clean(version)  # it may come from a label
    if re.fullmatch(r"[0-9a-f]{40}", version):
        return abbreviated(version)
    hashed, dirty, _rest = version.partition("_uncommitted_")
    if dirty:
        return f"{hashed[:7]}+changes"
    return version if len(version) <= 20 else f"{version[:19]}…"


def seconds(value: float) -> str:
    """A duration for people."""
    if value < 60:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"


def ago(value: float) -> str:
    """How long ago, as exactly as anybody wants to know it."""
    if value < 60:
        return f"{value:.0f} s ago"
    minutes = round(value / 60)
    return f"{minutes} min ago" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min ago"


def who(name: str) -> str:
    """A performer for a narrow column: an address without its domain."""
    return name.partition("@")[0] or name


def size(value: int) -> str:
    """Bytes for people."""
    for unit, name in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if value >= unit:
            return f"{value / unit:.3g} {name}" if value < 100 * unit else f"{value / unit:.0f} {name}"
    return f"{value} B"


def elapsed(line: Line, now: float) -> str:
    """How long a host took, or has been at it; empty where it was not begun."""
    if line.started is None:
        return ""
    return seconds((line.ended if line.ended is not None else now) - line.started)


def change(line: Line) -> str:
    """From which version to which, as far as it is known."""
    new = short(line.version) or "?"
    return f"{short(line.replaced)} → {new}" if line.replaced else f"→ {new}"


def phase(line: Line) -> str:
    """Where a host is, in one word."""
    if line.state is State.RUNNING and line.phase is not None:
        return str(line.phase)
    return "done" if line.state in (State.BOOTED, State.DONE) else str(line.state)


def doing(line: Line) -> str:
    """What happens there now; at the end, what came of it."""
    match line.state:
        case State.BOOTED:
            return f"{short(line.serving)} serves"
        case State.DONE:
            return clean(line.doing)
        case State.FAILED | State.UNTOUCHED:
            return clean((line.failure.error.splitlines() or [""])[0]) if line.failure else ""
        case State.RUNNING:
            return spoken(line.doing) or (PHASES[line.phase] if line.phase else "")
        case _:
            return ""


def title(report: Report) -> str:
    """What the run is."""
    version = f" {short(report.version)}" if report.version else ""
    many = len({line.host for line in report.lines})
    verb = "dry run: boot" if report.verb == "dry-run" else report.verb
    return f"{verb} {report.service}{version} on {counted(many, 'host')}"


def counted(number: int, noun: str) -> str:
    """``1 host``, ``2 hosts``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def closing(
    version: str,
    booted: Mapping[str, str | None],
    failed: tuple[str, ...],
    not_begun: int,
    took: float,
    stopped: bool = False,
    versions: Mapping[str, str] | None = None,
) -> str:
    """The closing line of a boot. ``booted`` maps hosts to what served before, ``failed`` names roles on hosts.

    ``versions`` tells what serves by host, where hosts go to different ones and ``version`` is none of them.
    """
    if stopped and not booted:
        return f"stopped after {seconds(took)}: {version} serves nowhere."
    parts = []
    if booted:
        now = versions or dict.fromkeys(booted, version)
        before = sorted({short(old) for host, old in booted.items() if old and old != now[host]})
        instead = f" instead of {', '.join(before)}" if before else ""
        each = (
            (one, tuple(host for host in booted if now[host] == one)) for one in dict.fromkeys(map(now.get, booted))
        )
        parts.append(", ".join(f"{one} serves on {some(hosts, 'hosts')}" for one, hosts in each) + instead)
    if failed:
        parts.append(
            f"{version} did not boot: {some(failed, 'boots')} failed"
            if not booted
            else f"{some(failed, 'boots')} failed"
        )
    if not_begun:
        parts.append(f"{counted(not_begun, 'boot')} not begun")
    return f"{'stopped: ' if stopped else ''}{'; '.join(parts) or 'nothing was begun'}, in {seconds(took)}."


def some(names: Sequence[str], noun: str) -> str:
    """Names in a row, or how many where they are many."""
    return ", ".join(names) if len(names) <= 6 else f"{len(names)} {noun}"


STOPPING = "stopping: hosts before their switch undo, hosts past it finish"
LEAVE = "Ctrl-C again: leave now"


def standing(line: Line) -> str:
    """Where a host stands when a run is left before its end."""
    who = f"{line.role} on {line.host}"
    before = short(line.replaced) if line.replaced else "what ran before"
    match line.state:
        case State.WAITING:
            return f"{who}: not begun"
        case State.BOOTED:
            return f"{who}: {clean(line.serving)} serves"
        case State.DONE:
            return f"{who}: {clean(line.doing)}"
        case State.FAILED | State.UNTOUCHED:
            return f"{who}: {line.state}. {clean(line.serving)}".rstrip(". ") + "."
        case _:
            pass
    if line.phase in (Phase.SWITCH, Phase.SOAK, Phase.COMMIT, Phase.DRAIN, Phase.STOP, Phase.DONE):
        return f"{who}: left in {line.phase}. The host finishes by itself."
    return f"{who}: left in {line.phase}. {before} serves; the next boot clears what was begun."


@dataclass(frozen=True, slots=True)
class Told:
    """A line at the end of a run. ``tone`` is problem, detail, verbatim (a line of a log) or ok."""

    tone: str
    text: str


def ending(report: Report, called: Called = Called()) -> Iterator[Told]:
    """Every failure with all that is known about it, then the closing line."""
    for failures in _alike(report.failures):
        yield from failed(failures, called)
    if report.finished is not None:
        sentence = called.spelled(clean(report.finished.sentence.replace("\n", " ")))
        yield Told("ok" if report.ok else "problem", sentence)


def failed(failures: tuple[HostFailed, ...], called: Called = Called()) -> Iterator[Told]:
    """One failure (of several roles and hosts, where they share it) from why to what to do."""
    first = failures[0]
    roles = ", ".join(dict.fromkeys(failure.role for failure in failures if failure.role))
    hosts = some(tuple(dict.fromkeys(failure.host for failure in failures)), "hosts")
    who = f"{roles} on {hosts}" if roles else hosts
    where = f" in {first.phase}" if first.phase is not None else ""
    said, *more = first.error.splitlines() or [""]
    why, what = (said, first.hint) if first.hint or more else advice(said)
    why = clean(called.spelled(why.removeprefix(f"{first.host}: ")))
    how = f"failed{where}" if where or first.begun else "cannot be used"
    yield Told("problem", f"✗ {who} {how}: {why}")
    for line in more:
        yield Told("verbatim", f"    {clean(line.strip())}")
    if first.serving:
        yield Told("detail", f"    {'serving now: ' if where else ''}{clean(first.serving)}")
    yield Told("detail", f"    next: {called.spelled(clean(what) or _next(first))}")
    yield from _listed("the new container's last words:", first.log)
    yield from _listed("its health log:", first.health)
    if first.kept:
        yield Told("detail", f"    the whole log, on {first.host}:")
        yield Told("verbatim", f"      {clean(first.kept)}")


def advice(text: str) -> tuple[str, str]:
    """A message as (what is wrong, what to do): its last sentence, where a command stands in that."""
    found = re.fullmatch(r"(?s)(.*[.?!]) +([A-Z][^.?!`]*(?:`[^`]*`[^.?!`]*)+[.?!]?)", text.strip())
    return (found[1], found[2]) if found else (text.strip(), "")


def _next(failure: HostFailed) -> str:
    if failure.kind == "HostUnreachable":
        return "invoke check says what is in the way."
    if failure.error.startswith("Cancelled"):
        return "Nothing. Boot again when you are ready."
    return "Run it again with --verbose to see every command."


def _listed(heading: str, lines: tuple[str, ...]) -> Iterator[Told]:
    shown = [clean(line) for text in lines for line in text.splitlines() if line.strip()]
    if shown:
        yield Told("detail", f"    {heading}")
    for line in shown:
        yield Told("verbatim", f"      {line}")


def _alike(failures: tuple[HostFailed, ...]) -> Iterator[tuple[HostFailed, ...]]:
    """Failures of a host's roles that have one reason, together; of a whole fleet too, where all else is alike."""
    of_host: dict[tuple[str, str], list[HostFailed]] = {}
    for failure in failures:
        of_host.setdefault((failure.host, failure.error), []).append(failure)
    groups: dict[object, list[HostFailed]] = {}
    for (host, error), found in of_host.items():
        first = found[0]
        roles = tuple(failure.role for failure in found)
        told = (roles, error.removeprefix(f"{host}: "), first.phase, first.begun, first.serving, first.hint)
        groups.setdefault((first.host, *told) if first.log or first.kept else told, []).extend(found)
    yield from map(tuple, groups.values())
