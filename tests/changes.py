"""What the tests of changes other than a boot share: a change of a role on the pretend host of ``boots``."""

from __future__ import annotations

import hashlib
import itertools
from typing import Any

from boots import config, role

from kamalnb.config.model import Role
from kamalnb.flow import Flow
from kamalnb.flows.change import Change, OnHost
from kamalnb.rollout import Done
from kamalnb.testing import Driven, PretendHost, drive_on

_count = itertools.count(1)


def on_host(**changes: Any) -> OnHost:
    nonce = hashlib.sha256(f"change {next(_count)}".encode()).hexdigest()[:32]
    return OnHost(**{"config": config(), "host": "web-1", "nonce": nonce, "performer": "jana", **changes})


def change(of: Role | None = None, **changes: Any) -> Change:
    return on_host(**changes).of(of or role())


def must(host: PretendHost, flow: Flow[Done]) -> Done:
    """What a flow did that went well."""
    done = drive_on(host, flow)
    if done.error is not None:
        raise done.error
    assert isinstance(done.value, Done)
    return done.value


def told(done: Driven) -> str:
    return "\n".join(fact.text for fact in done.facts)
