"""What a host does with the registry: log in, log out, fetch an image ahead of a boot. Nothing here may do I/O."""

from __future__ import annotations

from ..commands import app, registry
from ..docker import Image
from ..errors import BootError, CommandFailed
from ..events import Fact
from ..flow import Flow, Tell, ask, do
from ..rollout import Done
from .change import OnHost

UNCHANGED = "Nothing was changed there."


def logged_in(change: OnHost, who: registry.Login) -> Flow[Done]:
    """Logs the host's Docker in. Raises ``BootError``."""
    try:
        yield from do(registry.login(who), fence=change.fence)
    except CommandFailed as error:
        raise _refused(error, who.place, who.user) from error
    return Done(f"logged in to {who.place} as {who.user}.", {"server": who.place, "username": who.user})


def logged_out(change: OnHost) -> Flow[Done]:
    """Makes the host's Docker forget its login."""
    server = change.config.registry.server
    yield from do(registry.logout(server), fence=change.fence)
    return Done(f"logged out of {server or registry.DEFAULT}.", {"server": server or registry.DEFAULT})


def pulled(change: OnHost, reference: str, *, again: bool = False) -> Flow[Done]:
    """Fetches ``reference`` unless the host has it. ``again`` asks the registry all the same, for tags that move.

    Raises ``BootError``, with the line that builds and pushes the image where the registry has none.
    """
    image = yield from ask(app.image(reference))
    if image is not None and not again:
        yield from _labelled(change, reference, image)
        return Done(f"{reference} is there already.", {"pulled": False, "image": image.id})
    yield Tell(Fact(kind="pull", text=f"pulling {reference}"))
    try:
        yield from do(app.pull(reference), fence=change.fence)
    except CommandFailed as error:
        raise _unpullable(error, change, reference) from error
    before, image = image, (yield from ask(app.image(reference)))
    if image is not None:
        yield from _labelled(change, reference, image)
    same = before is not None and image is not None and before.id == image.id
    text = f"{reference} is there already, and is what the registry has." if same else f"{reference} was pulled."
    return Done(text, {"pulled": not same, "image": image.id if image else None})


def _labelled(change: OnHost, reference: str, image: Image) -> Flow[None]:
    """Kamal refuses an image whose ``service`` label is another; here it is said."""
    service, label = change.config.service, image.labels.get("service")
    if label != service:
        has = f"says service={label}" if label else "has no label service"
        text = f"{reference} {has}: Kamal would refuse it. Build it with --label service={service}"
        yield Tell(Fact(kind="service-label", text=text, warning=True, data={"label": label}))


def _refused(error: CommandFailed, place: str, username: str) -> BootError:
    said = error.result.stderr or error.result.stdout
    known = registry.trouble(said, place)
    if known is not None:
        return BootError(known[0], serving=UNCHANGED, hint=known[1])
    if error.result.exited is None:
        return BootError(f"The login to {place} gave no answer in time.", serving=UNCHANGED, hint="Run it again.")
    if registry.refused(said):
        return BootError(
            f"The registry {place} does not take this user and password ({username}).", serving=UNCHANGED,
            hint="Correct registry/username and registry/password, or the secret that they name.",
        )  # fmt: skip
    return BootError(f"Docker cannot log in to {place}: {registry.last_line(said)}.", serving=UNCHANGED)


def _unpullable(error: CommandFailed, change: OnHost, reference: str) -> BootError:
    said, place = error.result.stderr or error.result.stdout, change.config.registry.server or registry.DEFAULT
    known = registry.trouble(said, place)
    if known is not None:
        return BootError(f"{reference} cannot be pulled. {known[0]}", serving=UNCHANGED, hint=known[1])
    if error.result.exited is None:
        return BootError(f"{reference} was not pulled in time.", serving=UNCHANGED, hint="Run it again.")
    if registry.missing(said):
        line = registry.build_line(change.config.service, reference)
        return BootError(
            f"The registry has no {reference}, and kamalnb does not build.", serving=UNCHANGED,
            hint=f"Build and push it: {line}",
        )  # fmt: skip
    if registry.refused(said):
        line = registry.build_line(change.config.service, reference)
        return BootError(
            f"The registry does not let the host pull {reference}: it is not logged in, or there is no such image.",
            serving=UNCHANGED, hint=f"Log in: invoke registry.login. Or build and push it: {line}",
        )  # fmt: skip
    return BootError(f"{reference} cannot be pulled: {registry.last_line(said)}.", serving=UNCHANGED)
