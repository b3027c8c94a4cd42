"""Tables of the proxies: how each Traefik is, what a reboot would change, its log. No I/O here."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .. import traefik
from ..commands import running_traefik
from ..commands.running_traefik import Running
from ..flow import Flow, ask
from ..flows.traefik_difference import difference
from ..flows.traefik_host import Proxying
from ..flows.traefik_host import look as look_before_reboot
from ..tables import Column, Row, seconds_of
from . import Answers, Read, Scene

HOST = Column(name="host", about="as in deploy.yml")
ERROR = Column(name="error", about="why a host did not answer", wide=True)
STATUS = ("running", "restarting", "paused", "created", "exited", "dead", "missing", "unreachable")

DETAILS = (
    HOST,
    Column(name="status", words=STATUS, about="as Docker says; missing: there is no Traefik"),
    Column(name="version", about="of Traefik, as it says itself"),
    Column(name="image"),
    Column(name="since", kind="moment", about="when it was started"),
    Column(name="restarts", kind="count", about="by Docker, since it was started"),
    Column(name="ports", about="what it publishes on the host"),
    Column(name="as_in_file", kind="flag", heading="as in file", about="nothing differs from deploy.yml"),
    Column(name="throttle", kind="number", about="seconds until it notices a change", wide=True),
    Column(name="idle", kind="number", about="seconds that it keeps idle connections to a container", wide=True),
    Column(name="api", about="where its API answers on the host's side", wide=True),
    Column(name="network", wide=True),
    Column(name="container", about="its id", wide=True),
    Column(name="args", about="its command line", wide=True),
    ERROR,
)

DIFFERENCES = (
    HOST,
    Column(name="setting", about="an argument, a label, a port, …"),
    Column(name="running", about="what the Traefik that is there has; empty: not set"),
    Column(name="file", about="what deploy.yml asks for; empty: not set"),
    Column(name="status", words=("differs", "same", "missing", "refused", "unreachable"), wide=True),
    ERROR,
)

LOGS = (
    HOST,
    Column(name="at", kind="moment", about="Docker's time of the line"),
    Column(name="message"),
    Column(name="status", words=("", "missing", "unreachable"), wide=True),
    ERROR,
)

USUAL_LINES = 100
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
"""Traefik paints its log, terminal or not."""
_STAMPED = re.compile(r"(\d{4}-\d\d-\d\dT\S+) ?(.*)")


def details() -> Read:
    """How the Traefik of each host is."""
    return Read(name="traefik", columns=DETAILS, look=_details)


def differences() -> Read:
    """What ``traefik.reboot`` would change, host by host; notes say the gap and what would be refused."""
    return Read(name="traefik differences", columns=DIFFERENCES, look=_differences, notes=_notes)


def logs(*, since: str | None = None, lines: int | None = None, grep: str | None = None) -> Read:
    """The log of each Traefik, merged by time. ``since`` is what ``docker logs`` takes; without anything, 100 lines."""
    if lines is None and since is None and grep is None:
        lines = USUAL_LINES
    question = running_traefik.log(since=since, lines=lines, grep=grep)

    def asked(scene: Scene) -> Flow[tuple[Row, ...]]:
        text = yield from ask(question)
        if text is None:
            return ({"host": scene.host, "status": "missing", "message": "there is no Traefik"},)
        return tuple(_line(scene.host, line) for line in text.split("\n") if line)

    return Read(name="traefik logs", columns=LOGS, look=asked, whole=_by_time)


def _details(scene: Scene) -> Flow[tuple[Row, ...]]:
    running = yield from ask(running_traefik.inspect())
    if running is None:
        return ({"host": scene.host, "status": "missing"},)
    return (_detail(scene, running),)


def _detail(scene: Scene, running: Running) -> Row:
    container, proxy = running.container, running.proxy
    return {
        "host": scene.host,
        "status": container.status,
        "version": ".".join(map(str, running.version)) or None,
        "image": container.image,
        "since": seconds_of(container.started) if running.runs else None,
        "restarts": container.restarts,
        "ports": ", ".join(sorted(map(_port, running.publish))),
        "as_in_file": not difference(running, scene.config.traefik),
        "throttle": proxy.throttle,
        "idle": proxy.idle_timeout,
        "api": _api(proxy),
        "network": running.options.get("network", ""),
        "container": container.id[:12],
        "args": " ".join(container.args),
    }


def _port(word: str) -> str:
    """As people write it: no address where it is any, no protocol where it is TCP."""
    return word.removesuffix("/tcp").removeprefix("0.0.0.0:")


def _api(proxy: traefik.Proxy) -> str | None:
    if proxy.api_port is None:
        return None
    outer = proxy.container.published.get(proxy.api_port, ())
    if outer:
        return f"http://{outer[0][0]}:{outer[0][1]}"
    inner = next((address for address in proxy.container.networks.values() if address), "127.0.0.1")
    return f"http://{inner}:{proxy.api_port}"


def _differences(scene: Scene) -> Flow[tuple[Row, ...]]:
    config = scene.config
    work = Proxying(host=scene.host, settings=config.traefik, service=config.service, suffix="0" * 16)
    plan = yield from look_before_reboot(work)
    rows: list[Row] = [
        {"host": scene.host, "status": "differs", "setting": one.setting, "running": one.running, "file": one.file}
        for one in plan.differences
    ]
    refusal = plan.refusal(major=False, yes=False)
    note = " ".join(plan.notes)
    if not rows:
        rows = [{"host": scene.host, "status": "same" if plan.running else "missing"}]
    rows[0] = {**rows[0], "note": note, "refused": f"{refusal.why} {refusal.hint}" if refusal else ""}
    return tuple(rows)


def _notes(answers: Answers, rows: Sequence[Row]) -> tuple[str, ...]:
    noted = [str(row[key]) for row in rows for key in ("note", "refused") if row.get(key)]
    return tuple(dict.fromkeys(noted))


def _line(host: str, line: str) -> Row:
    match = _STAMPED.fullmatch(line)
    at = seconds_of(match[1]) if match else None
    message = match[2] if match and at is not None else line
    return {"host": host, "at": at, "message": _COLOUR.sub("", message), "status": ""}


def _by_time(answers: Answers) -> tuple[Row, ...]:
    """By time; a line that has none stays behind the one before it."""
    last: dict[str, float] = {}
    keyed = []
    for number, row in enumerate(answers.rows):
        at = row.get("at")
        last[row["host"]] = at if at is not None else last.get(row["host"], 0.0)
        keyed.append((last[row["host"]], number, row))
    return tuple(row for _at, _number, row in sorted(keyed, key=lambda one: one[:2]))
