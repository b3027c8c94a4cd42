"""How a pretend host plays what surrounds a boot: the registry, images and their users, env files, leftovers."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING

from .apps import PretendImage, digest
from .containers import moment

if TYPE_CHECKING:
    from .containers import PretendContainer
    from .host import PretendHost

Say = Callable[[str], None]
Play = Generator[float, None, "int | tuple[int, str]"]

TAKES = 0.01
EPOCH = "2026-01-01"
DOWN = (1, "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?")


def image_id(host: PretendHost, container: PretendContainer) -> str:
    """The image that a container is made from, also after its names were taken away."""
    image = host.images.get(container.image)
    return image.id if image is not None else digest(container.image.rpartition(":")[2])


def _login(host: PretendHost, words: tuple[str, ...], say: Say) -> Play:
    yield 0.3
    # docker login --username NAME --password-stdin [SERVER] PASSWORD
    server = words[5] if len(words) > 6 else ""
    if host.password is not None and words[-1] != host.password:
        where = f"http://{server}/v2/"
        return 1, f"Error response from daemon: login attempt to {where} failed with status: 401 Unauthorized"
    host.logins[server] = words[3]
    say("Login Succeeded")
    return 0


def _logout(host: PretendHost, words: tuple[str, ...], say: Say) -> Play:
    yield TAKES
    host.logins.pop(words[2] if len(words) > 2 else "", None)
    say("Removing login credentials")
    return 0


def _ours(host: PretendHost, words: tuple[str, ...], say: Say) -> Play:
    yield TAKES
    if not host.docker_answers:
        return DOWN
    seen: set[str] = set()
    for image in host.images.values():
        named = any(tag.startswith(f"{words[2]}:") for tag in image.tags)
        if image.id not in seen and (named or (not image.tags and image.labels.get("service") == words[3])):
            seen.add(image.id)
            say(json.dumps(_shown(image)))
    return 0


def _shown(image: PretendImage) -> dict[str, object]:
    ports: dict[str, object] = {f"{port}/tcp": {} for port in image.app.exposes}
    about = {"id": image.id, "tags": list(image.tags), "created": moment(EPOCH, 0), "size": 200_000_000}
    return {**about, "ports": ports or None, "labels": dict(image.labels)}


def _uses(host: PretendHost, words: tuple[str, ...], say: Say) -> Play:
    yield TAKES
    if not host.docker_answers:
        return DOWN
    for container in host.containers.values():
        use = {"image": image_id(host, container), "name": f"/{container.name}", "status": container.status}
        say(json.dumps(use))
    return 0


def _untag(host: PretendHost, words: tuple[str, ...], say: Say) -> Play:
    used = {image_id(host, container) for container in host.containers.values()}
    for word in words[1:]:
        yield TAKES
        image = host.images.get(word) or next((one for one in host.images.values() if one.id == word), None)
        if image is None or (image.id in used and len(image.tags) < 2):
            say(f"kept {word}")
            continue
        left = PretendImage(
            id=image.id, app=image.app, tags=tuple(tag for tag in image.tags if tag != word), labels=image.labels
        )
        host.images = {name: one for name, one in host.images.items() if name != word and one.id != image.id}
        host.images |= dict.fromkeys(left.tags, left)
        say(f"removed {word}")
    return 0


def _prune(host: PretendHost, words: tuple[str, ...], say: Say) -> Play:
    if not host.docker_answers:
        yield TAKES
        return DOWN
    for word in words[1:]:
        yield TAKES
        container = host.containers.get(word)
        if container is not None and container.status in ("running", "restarting", "paused"):
            say(f"kept {word}")
            continue
        host.containers.pop(word, None)
        say(f"removed {word}")
    return 0


def _old_logs(host: PretendHost, words: tuple[str, ...], say: Say) -> Play:
    yield TAKES
    for path in host.files:
        if path.startswith(f"{host.path(words[1])}/") and path.endswith(".log"):
            say(path)
    return 0


def _lines(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        if line and not line.startswith("#"):
            yield line.partition("=")[0], line


def _env(host: PretendHost, words: tuple[str, ...], say: Say) -> Play:
    yield TAKES
    path = host.path(words[1])
    before, after = dict(_lines(host.files.get(path, ""))), dict(_lines(words[2]))
    for key, line in after.items():
        say(f"{'added' if key not in before else 'same' if before[key] == line else 'changed'} {key}")
    for key in before:
        if key not in after:
            say(f"removed {key}")
    host.files[path] = words[2]
    return 0


def _env_gone(host: PretendHost, words: tuple[str, ...], say: Say) -> Play:
    yield TAKES
    say("missing" if host.files.pop(host.path(words[1]), None) is None else "deleted")
    return 0


def _audit_tail(host: PretendHost, words: tuple[str, ...], say: Say) -> Play:
    yield TAKES
    for line in host.files.get(host.path(words[1]), "").splitlines()[-int(words[2]) :]:
        say(line)
    return 0


def _nothing(host: PretendHost, words: tuple[str, ...], say: Say) -> Play:
    yield TAKES
    return 0


PLAYERS = {
    "docker login": _login,
    "docker logout": _logout,
    "k_ours": _ours,
    "k_uses": _uses,
    "k_untag": _untag,
    "k_prune": _prune,
    "k_old_logs": _old_logs,
    "k_env": _env,
    "k_env_gone": _env_gone,
    "k_audit_tail": _audit_tail,
}
