"""What a Traefik that is there was started with, its secrets left out. Nothing here may do I/O."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .. import docker, traefik
from ..docker import Container
from ..shell import Command, Question, look

_KEYS = '[{{range $n, $e := .Config.Env}}{{if $n}},{{end}}{{json (index (split $e "=") 0)}}{{end}}]'
FORMAT = (
    f'{{"container":{docker.CONTAINER_FORMAT},"env":{_KEYS},'
    '"publish":{{json .HostConfig.PortBindings}},"binds":{{json .HostConfig.Binds}},'
    '"memory":{{json .HostConfig.Memory}},"cpus":{{json .HostConfig.NanoCPUs}},"user":{{json .Config.User}},'
    '"hosts":{{json .HostConfig.ExtraHosts}},"caps":{{json .HostConfig.CapAdd}}}'
)
IMAGE_FORMAT = f'{{"labels":{{{{json .Config.Labels}}}},"env":{_KEYS}}}'

# The official image has traefik on its PATH; others are asked by what they were started with.
LOOK = """\
k_version_of() {
  while read -r k_word k_rest; do case $k_word in Version:) printf 'version %s\\n' "$k_rest" ;; esac; done
}
k_traefik() {
  k_out=$(docker inspect --type container --format "$1" traefik 2>/dev/null) || { docker version >/dev/null; return; }
  printf '%s\\n' "$k_out"
  docker image inspect --format "$2" "$(docker inspect --format '{{.Image}}' traefik)" 2>/dev/null || echo '{}'
  k_path=$(docker inspect --format '{{.Path}}' traefik)
  k_said=$(docker exec traefik traefik version 2>/dev/null | k_version_of)
  [ -n "$k_said" ] || k_said=$(docker exec traefik "$k_path" version 2>/dev/null | k_version_of)
  printf '%s\\n' "$k_said"
}
k_traefik_image() {
  docker image inspect --format "$2" "$1" 2>/dev/null || { docker version >/dev/null; return; }
  [ "$3" = ask ] || return 0
  docker run --rm --network none --label traefik.enable=false "$1" version 2>/dev/null | k_version_of
}"""


# The first line says whether there is one: an empty log is no missing Traefik.
LOG = """\
k_proxy_log() {
  k_grep=$1; k_pattern=$2; shift 2
  docker inspect --type container --format 'log of {{.Name}}' traefik 2>/dev/null || {
    docker version >/dev/null; return
  }
  if [ "$k_grep" = - ]; then "$@" 2>&1; else "$@" 2>&1 | { grep -e "$k_pattern" || [ $? -eq 1 ]; }; fi
}"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """The container called ``traefik``, running or not, and what of its settings can be looked at.

    ``env`` are the names of its environment, ``publish`` are ``address:port:inside/protocol`` words, ``options`` maps
    a few options of ``docker run`` to their values. ``image_env`` and ``image_labels`` came with its image.
    """

    container: Container
    env: frozenset[str] = frozenset()
    image_env: frozenset[str] = frozenset()
    image_labels: Mapping[str, str] = field(default_factory=dict)
    publish: frozenset[str] = frozenset()
    volumes: frozenset[str] = frozenset()
    options: Mapping[str, str] = field(default_factory=dict)
    version: tuple[int, ...] = ()

    @property
    def runs(self) -> bool:
        """It runs now."""
        return self.container.status == "running"

    @property
    def proxy(self) -> traefik.Proxy:
        """What its arguments say."""
        return traefik.proxy(self.container)


def inspect() -> Question[Running | None]:
    """The container called ``traefik``; None where there is none."""
    words = ("k_traefik", FORMAT, IMAGE_FORMAT)
    return Question(look("look at traefik", *words, uses=(LOOK,)), _running)


def image_version(reference: str) -> Question[tuple[int, ...] | None]:
    """The version of Traefik in an image: empty where it cannot be told, None where the image is not on the host."""
    words = ("k_traefik_image", reference, IMAGE_FORMAT, "named" if traefik.release(reference, {}) else "ask")
    command: Command = look("look at traefik image", *words, uses=(LOOK,), limit=60.0)
    return Question(command, lambda text: _image(text, reference))


def log(*, since: str | None, lines: int | None, grep: str | None) -> Question[str | None]:
    """The lines of its log, each with Docker's time; None where there is no Traefik."""
    words = (
        *("k_proxy_log", *(("-", "-") if grep is None else ("grep", grep)), "docker", "logs", "--timestamps"),
        *(("--since", since) if since else ()),
        *(("--tail", str(lines)) if lines is not None else ()),
        "traefik",
    )
    command = look("proxy log", *words, uses=(LOG,), limit=60.0)
    return Question(command, lambda text: text.partition("\n")[2] if text.startswith("log of ") else None)


def _running(text: str) -> Running | None:
    lines = [line for line in text.split("\n") if line.strip()]
    if not lines:
        return None
    document, of_image = json.loads(lines[0]), json.loads(lines[1])
    (container,) = docker.containers(json.dumps(document["container"]))
    return Running(
        container=container,
        env=frozenset(document["env"] or ()),
        image_env=frozenset(of_image.get("env") or ()),
        image_labels=of_image.get("labels") or {},
        publish=frozenset(_published(document["publish"] or {})),
        volumes=frozenset(document["binds"] or ()),
        options=_options(document, container),
        version=traefik.release(container.image, container.labels, _said(lines[2:])),
    )


def _image(text: str, reference: str) -> tuple[int, ...] | None:
    lines = [line for line in text.split("\n") if line.strip()]
    if not lines:
        return None
    labels = json.loads(lines[0]).get("labels") or {}
    return traefik.release(reference, labels, _said(lines[1:]))


def _said(lines: list[str]) -> str:
    return next((line.removeprefix("version ") for line in lines if line.startswith("version ")), "")


def _published(bindings: Mapping[str, Any]) -> list[str]:
    return [
        f"{one.get('HostIp') or '0.0.0.0'}:{one.get('HostPort') or 0}:{inside}"  # noqa: S104
        for inside, hosts in bindings.items()
        for one in hosts or ()
    ]


def _options(document: Mapping[str, Any], container: Container) -> Mapping[str, str]:
    mode = container.network_mode
    found = {
        "memory": str(document["memory"] or ""),
        "cpus": f"{(document['cpus'] or 0) / docker.NANOSECONDS:g}" if document["cpus"] else "",
        "user": document["user"] or "",
        "add-host": ",".join(sorted(document["hosts"] or ())),
        "cap-add": ",".join(sorted(cap.removeprefix("CAP_") for cap in document["caps"] or ())),
        "network": "host" if mode == "host" else ",".join(sorted(container.networks)),
    }
    return {name: value for name, value in found.items() if value}
