"""Commands about the images of a host and who uses them. Nothing here may do I/O."""

from __future__ import annotations

import json
from dataclasses import dataclass

from .. import docker
from ..docker import Image
from ..errors import Unclear
from ..shell import Command, Question, look
from . import host

USE_FORMAT = '{"image":{{json .Image}},"name":{{json .Name}},"status":{{json .State.Status}}}'

# Those of a repository, tagged or not, and what a service left without any name.
OURS = """\
k_named() {
  docker image ls --quiet --no-trunc "$1" &&
    docker image ls --quiet --no-trunc --filter dangling=true --filter "label=service=$2"
}
k_ours() {
  k_ids=$(k_named "$2" "$3") || return 1
  k_ids=$(printf '%s\\n' "$k_ids" | sort -u)
  [ -z "$k_ids" ] || docker image inspect --format "$1" $k_ids
}"""

# Each one by itself; what Docker refuses, since a container uses it, is told and is no failure.
UNTAG = """\
k_untag() {
  for k_i in "$@"; do
    if docker image rm "$k_i" >/dev/null 2>&1; then echo "removed $k_i"; else echo "kept $k_i"; fi
  done
}"""

USES = 'k_uses() { k_inspect "$1" --all; }'


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """A container of any service, and the image that it is made from."""

    image: str
    name: str
    status: str

    @property
    def running(self) -> bool:
        """Docker counts it as alive."""
        return self.status in ("running", "restarting", "paused")


def of_service(repository: str, service: str) -> Question[tuple[Image, ...]]:
    """The images of ``repository`` on the host, and those without a name that bear the ``service`` label."""
    words = ("k_ours", docker.IMAGE_FORMAT, repository, service)
    return Question(look("list images", *words, uses=(OURS,)), docker.images)


def uses() -> Question[tuple[Use, ...]]:
    """Every container of the host, whatever its service and state, with its image."""
    return Question(look("list uses", "k_uses", USE_FORMAT, uses=(host.INSPECT, USES)), _uses)


def remove(references: tuple[str, ...]) -> Command:
    """Takes names away from images, which removes those without another name. What is in use stays."""
    return Command(name="remove images", words=("k_untag", *references), uses=(UNTAG,), limit=300.0)


def removed(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What ``remove`` printed: what went, and what Docker kept."""
    gone, kept = [], []
    for line in text.splitlines():
        kind, _, rest = line.partition(" ")
        if kind == "removed":
            gone.append(rest)
        elif kind == "kept":
            kept.append(rest)
        else:
            raise Unclear("remove images", line, "neither removed nor kept")
    return tuple(gone), tuple(kept)


def names(image: Image, repository: str) -> tuple[str, ...]:
    """What to remove an image by: its names in ``repository``, its id where it has no name at all.

    One that another repository names too only loses our names.
    """
    ours = tuple(tag for tag in image.tags if tag.rpartition(":")[0] == repository)
    return ours or (() if image.tags else (image.id,))


def _uses(text: str) -> tuple[Use, ...]:
    found = []
    for line in filter(str.strip, text.split("\n")):
        document = json.loads(line)
        name = str(document["name"]).removeprefix("/")
        found.append(Use(image=str(document["image"]), name=name, status=str(document["status"])))
    return tuple(found)
