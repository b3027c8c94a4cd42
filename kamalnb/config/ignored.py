"""What a file asks for and a deploy would pass over, each with a sentence on what to do. Nothing here may do I/O."""

from __future__ import annotations

from dataclasses import dataclass

from .model import Config

_SENTENCES = {
    "accessories": "accessories are not started by kamalnb: go on with `kamal accessory boot`.",
    "builder": "builder is not used, since kamalnb builds no images: push one with `kamal build push` or Docker.",
}


@dataclass(frozen=True, slots=True)
class Ignored:
    """A key of the file that nothing is done about, and what a person does instead."""

    key: str
    sentence: str


def ignored(config: Config) -> tuple[Ignored, ...]:
    """What a deploy of ``config`` would not do though the file asks for it; empty where it does all."""
    found = [Ignored(key, _SENTENCES[key]) for key in config.left_alone if key in _SENTENCES]
    with_assets = [role.name for role in config.roles if role.asset_path]
    if with_assets:
        who = ", ".join(with_assets)
        why = "old and new version do not share their assets, so pages of the old one may miss some after the switch"
        found.append(Ignored("asset_path", f"asset_path ({who}) is not used by kamalnb: {why}. Serve them from a CDN."))
    return tuple(found)
