"""How a pretend host plays the commands about Traefik itself: made, started, looked at, put in another's place.

Each follows its function in ``commands/``; the container called ``traefik`` is what routes.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING

from .apps import App
from .containers import PretendContainer, described, life, stop
from .proxy import Table
from .waiting import LOOK, listed, seen

if TYPE_CHECKING:
    from .host import PretendHost

Say = Callable[[str], None]
Play = Generator[float, None, "int | tuple[int, str]"]
EPOCH = "2026-01-01"
TAKES = 0.05
VERSION = "3.7.15"
KNOWN = (
    "providers.",
    "entrypoints.",
    "api",
    "log.",
    "serverstransport.",
    "certificatesresolvers.",
    "ping",
    "accesslog",
)
"""What the arguments of a Traefik that stays up begin with."""


def _boot(host: PretendHost, words: tuple[str, ...], say: Say) -> Play:
    yield TAKES
    if not host.docker_answers:
        return 1, "Cannot connect to the Docker daemon"
    _settle(host)
    there = host.find("traefik")
    if there is not None and there.running:
        say("runs already")
        return 0
    if there is not None:
        yield from _started(host, there)
        say("started again")
        return 0
    made = _made(host, words[1:])
    if isinstance(made, str):
        return 125, made
    yield from _started(host, made)
    say("started")
    return 0


def _create(host: PretendHost, words: tuple[str, ...], say: Say) -> Play:
    yield TAKES
    _settle(host)
    made = _made(host, words[1:])
    return (1, made) if isinstance(made, str) else 0


def _made(host: PretendHost, words: tuple[str, ...]) -> PretendContainer | str:
    """A container as ``docker create`` makes it, or what Docker says against it."""
    image = next((number for number, word in enumerate(words) if word in host.images), None)
    if image is None:
        return "Unable to find image locally"
    option = dict(itertools.pairwise(words[:image]))
    if "--no-such-option" in words[:image]:
        return "unknown flag: --no-such-option"
    network = option.get("--network", "bridge")
    host._count += 1
    made = PretendContainer(
        id=f"{host._count:064x}", name=option["--name"], image=words[image], status="created", words=words[:image],
        app=App(listens_on=(80,), exposes=(80,), says=("Traefik starts",)), args=words[image + 1 :],
        labels=dict(_pairs(words[:image], "--label")), networks={network: f"{host.networks[network]}.2"},
        created=host.time.now, pid=1000 + host._count,
    )  # fmt: skip
    host.containers[made.id] = made
    return made


def _pairs(words: tuple[str, ...], option: str) -> Iterator[tuple[str, str]]:
    for number, word in enumerate(words):
        if word == option:
            key, _, value = words[number + 1].partition("=")
            yield key, value


def _started(host: PretendHost, container: PretendContainer) -> Play:
    """Traefik knows nothing at first; with an argument that it does not know it ends at once."""
    yield 0.3
    name = [arg.lstrip("-").lower() for arg in container.args]
    if not all(arg.startswith(KNOWN) for arg in name):
        container.status, container.restarts = "restarting", 1
        return 0
    host.traefik.table = Table(number=host.traefik._count)
    host.traefik.networks = dict(container.networks)
    life(host, container)
    return 0


def _settle(host: PretendHost) -> None:
    there = host.find("traefik")
    runs = there is not None and there.running
    for container in list(host.containers.values()):
        if container.name.startswith("traefik_new_") or (container.name.startswith("traefik_replaced_") and runs):
            _gone(host, container)
        elif container.name.startswith("traefik_replaced_"):
            if there is not None:
                _gone(host, there)
            container.name = "traefik"


def _gone(host: PretendHost, container: PretendContainer) -> None:
    host.containers.pop(container.id, None)
    for task in container.tasks:
        task.kill()
    container.status = "removed"


def _look(host: PretendHost, words: tuple[str, ...], say: Say) -> Play:
    yield TAKES
    container = host.find("traefik")
    if not host.docker_answers:
        return 1, "Cannot connect to the Docker daemon"
    if container is None:
        return 0
    given = container.words
    bindings: dict[str, list[dict[str, str]]] = {}
    for word in _after(given, "--publish"):
        *address, outer, inner = word.split(":")
        bindings.setdefault(f"{inner}/tcp", []).append({"HostIp": "".join(address), "HostPort": outer})
    document = {
        "container": described(container, EPOCH), "env": ["PATH", *(key for key, _ in _pairs(given, "--env"))],
        "publish": bindings, "binds": list(_after(given, "--volume")), "memory": 0, "cpus": 0, "user": "",
        "hosts": None, "caps": None,
    }  # fmt: skip
    mounts = [{"Destination": bind.split(":")[1], "Source": bind.split(":")[0]} for bind in _after(given, "--volume")]
    document["container"]["mounts"] = mounts  # type: ignore[index]
    say(json.dumps(document))
    say(json.dumps({"labels": None, "env": ["PATH"]}))
    say(f"version {_version(container.image)}" if container.running else "")
    return 0


def _after(words: tuple[str, ...], option: str) -> Iterator[str]:
    yield from (words[number + 1] for number, word in enumerate(words) if word == option)


def _version(image: str) -> str:
    tag = image.rpartition(":")[2]
    return VERSION if VERSION.startswith(tag.removeprefix("v")) else tag


def _image(host: PretendHost, words: tuple[str, ...], say: Say) -> Play:
    yield TAKES
    if words[1] in host.images:
        say(json.dumps({"labels": None, "env": ["PATH"]}))
        say(f"version {_version(words[1])}" if words[3] == "ask" else "")
    return 0


def _holding(host: PretendHost, words: tuple[str, ...], say: Say) -> Play:
    for number, thing in enumerate(_things(words[1:])):
        yield LOOK
        if _holds(host, thing):
            say(str(number))
    return 0


def _things(words: tuple[str, ...]) -> list[tuple[str, ...]]:
    return [words[number : number + 6] for number in range(0, len(words), 6)]


def _holds(host: PretendHost, thing: tuple[str, ...]) -> bool:
    _name, by, network, ports, what, address = thing
    if not host.proxy_answers() or not ports or not (network.startswith("@") or network in host.traefik.networks):
        return False
    if what == "-":
        return True
    if address == "-":
        found, _, reached = seen(host, by, what)
        return found and reached
    return listed(host, by, what, address) == 0


def _returned(
    host: PretendHost, container: PretendContainer, hundredths: str, things: list[tuple[str, ...]], say: Say
) -> Play:
    until, left = host.time.now + int(hundredths) / 100, list(things)
    while True:
        yield LOOK
        if not container.running or container.restarts:
            say(f"state {container.status} {container.restarts} none")
            return 65
        while left and _holds(host, left[0]):
            left.pop(0)
        if not left:
            return 0
        if host.time.now >= until:
            say(f"missing {left[0][0]}")
            return 69
        yield 0.05


def _restart(host: PretendHost, words: tuple[str, ...], say: Say) -> Play:
    seconds, hundredths, _count, *things = words[1:]
    container, began = host.find("traefik"), host.time.now
    if container is None:
        return 1, "No such container: traefik"
    yield from stop(host, container, float(seconds))
    yield from _started(host, container)
    ended = yield from _returned(host, container, hundredths, _things(tuple(things)), say)
    say(f"gap {host.time.now - began:.2f}")
    return ended


def _reboot(host: PretendHost, words: tuple[str, ...], say: Say) -> Play:
    new_name, aside, seconds, _paths, hundredths, count, *rest = words[1:]
    new, old, began = host.find(new_name), host.find("traefik"), host.time.now
    if new is None or old is None:
        return 1, "No such container"
    first = 6 * int(count)
    wanted, before = _things(tuple(rest[:first])), _things(tuple(rest[first + 1 :]))
    yield TAKES
    old.name, new.name = aside, "traefik"
    yield from stop(host, old, float(seconds))
    yield from _started(host, new)
    ended = yield from _returned(host, new, hundredths, wanted, say)
    if ended == 0:
        say(f"gap {host.time.now - began:.2f}")
        _gone(host, old)
        return 0
    for line in new.app.says:
        say(f"log {line}")
    _gone(host, new)
    old.name = "traefik"
    yield from _started(host, old)
    if (yield from _returned(host, old, hundredths, before, say)) != 0:
        say("old lost")
        return 1
    say(f"gap {host.time.now - began:.2f}")
    say("old again")
    return ended


def _stop(host: PretendHost, words: tuple[str, ...], say: Say) -> Play:
    container = host.find(words[-1])
    if container is None:
        return 1, f"Error: No such container: {words[-1]}"
    yield from stop(host, container, float(words[3]))
    return 0


def _remove(host: PretendHost, words: tuple[str, ...], say: Say) -> Play:
    yield TAKES
    container = host.find(words[-1])
    if container is not None:
        _gone(host, container)
    return 0


def _remove_image(host: PretendHost, words: tuple[str, ...], say: Say) -> Play:
    yield TAKES
    if host.images.pop(words[3], None) is None:
        return 1, f"Error: No such image: {words[3]}"
    return 0


def _log(host: PretendHost, words: tuple[str, ...], say: Say) -> Play:
    yield TAKES
    container = host.find("traefik")
    if container is None:
        return 0
    say("log of /traefik")
    for second, line in enumerate(container.app.says):
        if words[1] == "-" or words[2] in line:
            say(f"{EPOCH}T00:00:{second:02d}.5Z {line}")
    return 0


PLAYERS = {
    "k_boot_traefik": _boot,
    "k_create_traefik": _create,
    "k_traefik": _look,
    "k_traefik_image": _image,
    "k_holding": _holding,
    "k_restart_traefik": _restart,
    "k_reboot_traefik": _reboot,
    "docker stop": _stop,
    "docker rm": _remove,
    "docker image": _remove_image,
    "k_proxy_log": _log,
}
