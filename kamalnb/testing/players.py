"""How a pretend host plays the commands about Docker, cords and files: by name and words, never by reading shell."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator

from ..shell import Command, Secret
from . import asked, files, oneoffs, proxying, reading, surroundings, usage, waiting
from .apps import PretendImage
from .containers import Check, PretendContainer, described, moment, stop
from .host import EPOCH, PretendHost, Unexpected

Say = Callable[[str], None]
Ended = int | tuple[int, str]
Play = Generator[float, None, Ended]
Player = Callable[[PretendHost, tuple[str, ...], Say], Play]

TAKES = 0.01
"""Seconds that a short command takes."""
RUN_TAKES = 0.3
"""Seconds that ``docker run`` takes before the program starts."""
DOWN = (1, "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?")


def play(host: PretendHost, command: Command, say: Say) -> Generator[float, None, tuple[int, str]]:
    """Plays one command; its exit code and standard error. Raises ``Unexpected`` for one that nobody taught it."""
    failure = host.next_failure(command)
    if failure is not None:
        yield TAKES
        return failure
    words = tuple(word.value if isinstance(word, Secret) else str(word) for word in command.words)
    player = PLAYERS.get(words[0]) or PLAYERS.get(" ".join(words[:2]))
    if player is None:
        raise Unexpected(f"the pretend host was not told how to play “{command.name}”: {command}")
    if player is _start and oneoffs.is_one_off(words):
        ended = yield from oneoffs.run(host, words, say)
    elif player is _start:
        ended = yield from _start(host, words, say, command)
    elif command.stdin is not None:
        ended = yield from player(host, (*words, _text(command)), say)
    else:
        ended = yield from player(host, words, say)
    return ended if isinstance(ended, tuple) else (ended, "")


def _text(command: Command) -> str:
    return command.stdin.value if isinstance(command.stdin, Secret) else str(command.stdin)


def _inspect(host: PretendHost, words: tuple[str, ...], say: Say) -> Play:
    yield TAKES
    if not host.docker_answers:
        return DOWN
    filters = [words[number + 1] for number, word in enumerate(words) if word == "--filter"]
    for container in host.containers.values():
        if ("--all" in words or container.status != "exited") and all(_fits(container, one) for one in filters):
            say(json.dumps(described(container, EPOCH)))
    return 0


def _census(host: PretendHost, words: tuple[str, ...], say: Say) -> Play:
    yield TAKES
    if not host.docker_answers:
        return DOWN
    for container in host.containers.values():
        running = container.status in ("running", "restarting", "paused")
        if running or container.name == "traefik" or container.labels.get("service") == words[2]:
            say(json.dumps(described(container, EPOCH)))
    return 0


def _fits(container: PretendContainer, text: str) -> bool:
    kind, _, value = text.partition("=")
    if kind == "label":
        key, _, wanted = value.partition("=")
        return container.labels.get(key) == wanted
    if text == "name=^/?traefik$":
        return container.name == "traefik"
    raise Unexpected(f"the pretend host does not know the filter {text}")


def _look(host: PretendHost, words: tuple[str, ...], say: Say) -> Play:
    yield TAKES
    wanted = words[words.index("--format") + 2 :]
    for container in filter(None, map(host.find, wanted)):
        say(json.dumps(described(container, EPOCH)))
    missing = [name for name in wanted if host.find(name) is None]
    return (1, f"Error: No such object: {missing[0]}") if missing else 0


def _image(host: PretendHost, words: tuple[str, ...], say: Say) -> Play:
    yield TAKES
    if words[2] in host.images:
        say(_shown(host.images[words[2]]))
    return 0


def _images(host: PretendHost, words: tuple[str, ...], say: Say) -> Play:
    yield TAKES
    found = {image.id: image for reference, image in host.images.items() if reference.startswith(f"{words[2]}:")}
    for image in found.values():
        say(_shown(image))
    return 0


def _shown(image: PretendImage) -> str:
    ports: dict[str, object] = {f"{port}/tcp": {} for port in image.app.exposes}
    about = {"id": image.id, "tags": list(image.tags), "created": moment(EPOCH, 0), "size": 200_000_000}
    return json.dumps({**about, "ports": ports or None, "labels": dict(image.labels)})


def _pull(host: PretendHost, words: tuple[str, ...], say: Say) -> Play:
    yield 1.5
    reference = words[-1]
    if reference not in host.registry:
        return 1, f"Error response from daemon: manifest for {reference} not found: manifest unknown"
    host.images[reference] = host.registry[reference]
    say(reference)
    return 0


def _tag(host: PretendHost, words: tuple[str, ...], say: Say) -> Play:
    yield TAKES
    image, new = host.images[words[2]], words[3]
    tags = tuple(dict.fromkeys((*image.tags, new)))
    tagged = PretendImage(id=image.id, app=image.app, tags=tags, labels=image.labels)
    host.images |= dict.fromkeys(tags, tagged)
    return 0


def _rename(host: PretendHost, words: tuple[str, ...], say: Say) -> Play:
    yield TAKES
    container = host.find(words[2])
    if container is None or host.find(words[3]) is not None:
        return 1, f"Error response from daemon: cannot rename {words[2]} to {words[3]}"
    container.name = words[3]
    return 0


def _named(host: PretendHost, words: tuple[str, ...], say: Say) -> Play:
    yield TAKES
    has, container = host.find(words[2]), host.find(words[1])
    if container is None:
        return 1, f"Error: No such container: {words[1]}"
    if has is not None and has is not container:
        has.name = words[3]
        yield TAKES
    container.name = words[2]
    return 0


def _start(host: PretendHost, words: tuple[str, ...], say: Say, command: Command | None = None) -> Play:
    yield RUN_TAKES
    if command is None:
        raise Unexpected("docker run is played with its details")
    labels, cord = command.detail("labels"), command.detail("cord")
    name = words[words.index("--name") + 1]
    if not host.docker_answers:
        return DOWN
    if host.find(name) is not None:
        return 125, f'docker: Conflict. The container name "/{name}" is already in use.'
    reference = next((word for word in words if word in host.images), None)
    if reference is None:
        return 125, "docker: Error response from daemon: pull access denied"
    networks = tuple(words[n + 1] for n, word in enumerate(words) if word == "--network") or None
    # A label is said twice, in words and as a detail; the words are what counts on a real host.
    spoken = dict(words[n + 1].split("=", 1) for n, word in enumerate(words) if word == "--label")
    if spoken != labels:
        raise Unexpected("the labels in the words are others than in the details")
    mounted = str(cord) if cord and any(f"source={cord}," in word for word in words) else None
    container = host.start(name, reference, labels=spoken, check=_check(words), cord=mounted, networks=networks)
    say(container.id)
    return 0


def _check(words: tuple[str, ...]) -> Check | None:
    if "--health-cmd" not in words:
        return None
    option = {word: words[number + 1] for number, word in enumerate(words) if word.startswith("--health-")}
    interval, timeout = float(option["--health-interval"].removesuffix("ms")), option["--health-timeout"]
    return Check(
        interval=interval / 1000, timeout=float(timeout.removesuffix("s")), retries=int(option["--health-retries"])
    )


def _again(host: PretendHost, words: tuple[str, ...], say: Say) -> Play:
    yield RUN_TAKES
    if not host.docker_answers:
        return DOWN
    for word in words[2:]:
        container = host.find(word)
        if container is None:
            return 1, f"Error: No such container: {word}"
        if container.cord is not None and container.cord not in host.cords:
            if container.check is None or not container.check.kamal:
                return 1, f"Error response from daemon: bind source path does not exist: {container.cord}"
            host.cords[container.cord] = "empty"  # Docker makes what --volume names
        if not container.running:
            host.start_again(container)
    return 0


def _stop(host: PretendHost, words: tuple[str, ...], say: Say) -> Play:
    wait = 10.0 if words[1] == "-" else float(words[1])
    for word in words[2:]:
        container = host.find(word)
        if container is None:
            say(f"gone {word}")
            continue
        yield from stop(host, container, wait)
        say(f"exit {container.exit_code} {word}")
    return 0


def _remove(host: PretendHost, words: tuple[str, ...], say: Say) -> Play:
    yield TAKES
    container = host.containers.pop(words[1], None)
    if container is not None:
        for task in container.tasks:
            task.kill()
        container.lose(f"{container.name} was removed")
        container.status = "removed"
        host.happened()
    return 0


def _keep(host: PretendHost, words: tuple[str, ...], say: Say) -> Play:
    yield TAKES
    container = host.find(words[1])
    lines = container.app.says if container else ("Error: No such container",)
    host.files[host.path(words[2])] = "\n".join(lines)
    for line in lines[-int(words[3]) :]:
        say(line)
    return 0


def _docker(host: PretendHost, words: tuple[str, ...], say: Say) -> Play:
    yield TAKES
    if not host.docker_answers:
        return DOWN
    say(json.dumps(host.docker))
    return 0


def taught() -> Iterator[str]:
    """Every command that a pretend host can play."""
    yield from PLAYERS


PLAYERS: dict[str, Player] = {
    "k_inspect": _inspect,
    "k_census": _census,
    "docker inspect": _look,
    "k_image": _image,
    "k_images": _images,
    "docker pull": _pull,
    "docker tag": _tag,
    "docker rename": _rename,
    "k_named": _named,
    "docker run": _start,
    "docker start": _again,
    "k_stop": _stop,
    "k_remove": _remove,
    "k_keep": _keep,
    "docker version": _docker,
    **asked.PLAYERS,
    **files.PLAYERS,
    **surroundings.PLAYERS,
    **oneoffs.PLAYERS,
    **reading.PLAYERS,
    **usage.PLAYERS,
    **waiting.PLAYERS,
    **proxying.PLAYERS,
}
