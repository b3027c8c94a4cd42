"""How a Traefik that is there differs from what ``deploy.yml`` asks for. Nothing here may do I/O."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ..commands import traefik as commands
from ..commands.running_traefik import Running
from ..config.model import TraefikSettings

SEEN_OPTIONS = frozenset(("memory", "cpus", "user", "add-host", "cap-add", "network"))
"""Options of ``docker run`` whose value a running container shows, beside publish, volume, label and env."""
_COMPARED = SEEN_OPTIONS | {"publish", "volume", "label", "env"}
_UNITS = {"b": 1, "k": 2**10, "m": 2**20, "g": 2**30}
DOCKER_SOCKET = "/var/run/docker.sock:/var/run/docker.sock"


@dataclass(frozen=True, slots=True)
class Difference:
    """One setting that is not as in the file: ``running`` or ``file`` is empty where it is not there."""

    setting: str
    running: str
    file: str

    def __str__(self) -> str:
        return f"{self.setting}: {self.running or 'not set'} now, {self.file or 'not set'} in the file"


def difference(running: Running, settings: TraefikSettings) -> tuple[Difference, ...]:
    """Every setting that a reboot would change, as far as Docker shows it; values of the environment are not seen."""
    return tuple(_differences(running, settings))


def unseen(settings: TraefikSettings) -> tuple[str, ...]:
    """Options of the file that a running container does not show in a way to compare."""
    return tuple(sorted(f"--{key}" for key in settings.options if key not in _COMPARED))


def _differences(running: Running, settings: TraefikSettings) -> Iterator[Difference]:
    if running.container.image != settings.image:
        yield Difference("image", running.container.image, settings.image)
    yield from _arguments(running.container.args, commands.arguments(settings))
    yield from _labels(running, {**commands.labels(settings), **dict(_pairs(settings, "label"))})
    yield from _each("publish", running.publish, published(settings))
    yield from _each("volume", running.volumes, frozenset((DOCKER_SOCKET, *listed(settings, "volume"))))
    yield from _env(running, {*settings.env.clear, *settings.env.secret, *(key for key, _ in _pairs(settings, "env"))})
    wanted = _options(settings)
    for name in sorted(SEEN_OPTIONS):
        if running.options.get(name, "") != wanted.get(name, ""):
            yield Difference(f"--{name}", running.options.get(name, ""), wanted.get(name, ""))


def _arguments(running: Iterable[str], wanted: Iterable[str]) -> Iterator[Difference]:
    """By name, whatever its case: Traefik's have none."""
    ours, theirs = _named(wanted), _named(running)
    for key in {**theirs, **ours}:
        (name, there), (_, here) = theirs.get(key, (ours.get(key, (key, ""))[0], "")), ours.get(key, (key, ""))
        if there != here:
            yield Difference(f"--{name}", there, here)


def _named(arguments: Iterable[str]) -> dict[str, tuple[str, str]]:
    found = {}
    for argument in arguments:
        name, equals, value = argument.lstrip("-").partition("=")
        found[name.lower()] = (name, value.strip("\"'") if equals else "true")
    return found


def _labels(running: Running, wanted: Mapping[str, str]) -> Iterator[Difference]:
    there = running.container.labels
    own = {key: value for key, value in there.items() if key in wanted or running.image_labels.get(key) != value}
    for key in sorted({*own, *wanted}):
        if own.get(key) != wanted.get(key):
            yield Difference(f"label {key}", own.get(key, ""), wanted.get(key, ""))


def _env(running: Running, wanted: set[str]) -> Iterator[Difference]:
    for key in sorted(wanted - running.env):
        yield Difference(f"env {key}", "", "set")
    for key in sorted(running.env - running.image_env - wanted):
        yield Difference(f"env {key}", "set", "")


def _each(setting: str, running: frozenset[str], wanted: frozenset[str]) -> Iterator[Difference]:
    for one in sorted(running - wanted):
        yield Difference(setting, one, "")
    for one in sorted(wanted - running):
        yield Difference(setting, "", one)


def listed(settings: TraefikSettings, option: str) -> tuple[str, ...]:
    """The values of an option that may be given several times."""
    value = settings.options.get(option, ())
    return tuple(map(str, value)) if isinstance(value, tuple) else (str(value),)


def _pairs(settings: TraefikSettings, option: str) -> Iterator[tuple[str, str]]:
    for one in listed(settings, option):
        key, _, value = one.partition("=")
        yield key, value


def published(settings: TraefikSettings) -> frozenset[str]:
    """What would be published, as ``address:port:inside/protocol``."""
    return frozenset(word for one in commands.published(settings) for word in _spelled(one))


def _spelled(word: str) -> Iterator[str]:
    rest, _, protocol = word.partition("/")
    *address, port, inside = ("", *rest.rsplit(":", 2))[-3:] if ":" in rest else ("", "0", rest)
    where = address[0].strip("[]") or "0.0.0.0"  # noqa: S104
    for outer, inner in zip(_range(port), _range(inside), strict=False):
        yield f"{where}:{outer}:{inner}/{protocol or 'tcp'}"


def _range(ports: str) -> Iterator[str]:
    first, dash, last = ports.partition("-")
    if not (dash and first.isdigit() and last.isdigit()):
        yield ports
        return
    yield from map(str, range(int(first), int(last) + 1))


def _options(settings: TraefikSettings) -> dict[str, str]:
    given = {name: ",".join(sorted(listed(settings, name))) for name in SEEN_OPTIONS & set(settings.options)}
    if "memory" in given:
        given["memory"] = str(_bytes(given["memory"]))
    if given.get("network", "default") in ("default", "bridge"):
        given["network"] = "bridge"
    given |= {"cap-add": given["cap-add"].upper().replace("CAP_", "")} if "cap-add" in given else {}
    given |= {"cpus": f"{float(given['cpus']):g}"} if re.fullmatch(r"[0-9.]+", given.get("cpus", "")) else {}
    return given


def _bytes(text: str) -> int | str:
    match = re.fullmatch(r"(\d+)([bkmg]?)b?", text.strip().lower())
    return int(match[1]) * _UNITS[match[2] or "b"] if match else text
