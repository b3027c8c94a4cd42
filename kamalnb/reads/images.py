"""The table of images: what each host has of the service's repository, and what is made from it. No I/O here."""

from __future__ import annotations

from ..commands import images
from ..commands.images import Use
from ..docker import Image
from ..flow import Flow, ask_all
from ..tables import Column, Row, seconds_of
from . import Answers, Read, Scene

STATUS = ("running", "stopped", "unused", "unreachable")

COLUMNS = (
    Column(name="host", about="The host that has it."),
    Column(name="version", about="Its tag, the `latest` ones left out; empty for an image without one."),
    Column(name="latest", kind="flag", about="Whether it bears the tag that a boot without a version takes."),
    Column(
        name="status", words=STATUS, heading="in use",
        about="Whether a running or only a stopped container is made from it.",
    ),
    Column(name="created", kind="moment", about="When it was built."),
    Column(name="size", kind="bytes", about="Bytes, with the layers that it shares with others."),
    Column(name="id", about="The first twelve digits of its id."),
    Column(name="tags", about="All its tags in the repository.", wide=True),
    Column(name="used_by", about="The containers that are made from it, of any service.", wide=True),
    Column(name="error", about="Why a host did not answer.", wide=True),
)  # fmt: skip


def look(scene: Scene) -> Flow[tuple[Row, ...]]:
    """One row for each image on a host, the newest first."""
    config = scene.config
    found, uses = yield from ask_all(images.of_service(config.repository, config.service), images.uses())
    ordered = sorted(found, key=lambda image: image.created, reverse=True)
    return tuple(_row(scene, image, [use for use in uses if use.image == image.id]) for image in ordered)


def _row(scene: Scene, image: Image, uses: list[Use]) -> Row:
    repository = scene.config.repository
    tags = [tag.removeprefix(f"{repository}:") for tag in image.tags if tag.startswith(f"{repository}:")]
    running = any(use.running for use in uses)
    return {
        "host": scene.host,
        "version": ", ".join(image.versions(repository)),
        "latest": scene.config.latest_tag in tags,
        "status": "running" if running else "stopped" if uses else "unused",
        "created": seconds_of(image.created),
        "size": image.size,
        "id": image.id.removeprefix("sha256:")[:12],
        "tags": ", ".join(tags),
        "used_by": ", ".join(use.name for use in uses),
    }


def _notes(answers: Answers, rows: tuple[Row, ...]) -> tuple[str, ...]:
    latest = {row["version"] for row in rows if row.get("latest")}
    if len(latest) > 1:
        return (f"Hosts have different images tagged {answers.config.latest_tag}: {', '.join(sorted(latest))}.",)
    return ()


IMAGES = Read(name="images", columns=COLUMNS, look=look, notes=lambda answers, rows: _notes(answers, tuple(rows)))
