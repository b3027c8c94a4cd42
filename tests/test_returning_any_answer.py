"""Whatever a host answers on the way back: it ends, with a value or an error of ours, and touches nothing too early."""

from __future__ import annotations

import pytest
from boots import booted as boots
from boots import kamal, plan, role, serving
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_boot_any_answer import ODDITIES, Doubtful, Oddity, assert_legal, assert_nothing_too_early
from test_returning import DOWN, UP, VERSIONS, before, decided, warm

from kamalnb.boot import Booted
from kamalnb.errors import KamalnbError
from kamalnb.flows.returning import way_flow
from kamalnb.plan import BootPlan
from kamalnb.testing import Driven, PretendHost, drive
from kamalnb.ways import WayBack

pytestmark = pytest.mark.slow


def kamals() -> tuple[PretendHost, BootPlan, WayBack]:
    host = PretendHost()
    kamal(host)
    assert boots(host, "v2").error is None
    return host, plan("v1"), decided(host, "v1")


def worker() -> tuple[PretendHost, BootPlan, WayBack]:
    job = role("job")
    host = serving("v1", job)
    assert boots(host, "v2", job).error is None
    return host, plan("v1", job), decided(host, "v1", job)


def finish() -> tuple[PretendHost, BootPlan, WayBack]:
    host = warm(DOWN)
    return host, plan("v2"), decided(host, "v2")


def made(name: str) -> tuple[PretendHost, BootPlan, WayBack]:
    """A host, and a way back that was decided there."""
    if name in ALONE:
        return ALONE[name]()
    state, direction = name.split()
    host, old = (warm if state == "warm" else before)(direction), VERSIONS[direction][0]
    return host, plan(old), decided(host, old)


ALONE = {"kamals": kamals, "worker": worker, "finish": finish}
NAMES = [f"{state} {direction}" for state in ("stopped", "warm") for direction in (UP, DOWN)] + list(ALONE)


def answered(name: str, oddities: list[Oddity]) -> tuple[Driven, Doubtful, dict[str, str | None], BootPlan]:
    host, chosen, back = made(name)
    had = {container.id: container.cord for container in host.containers.values() if container.routable}
    doubtful = Doubtful(host, list(oddities))
    return drive(way_flow(back, chosen), doubtful, pause=host.time.pass_by), doubtful, had, chosen


@pytest.mark.parametrize("name", NAMES)
@given(oddities=st.lists(ODDITIES, max_size=9))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_answers_end_in_a_way_back_or_in_an_error_of_ours(name: str, oddities: list[Oddity]) -> None:
    done, doubtful, had, chosen = answered(name, oddities)
    assert isinstance(done.value, Booted) or isinstance(done.error, KamalnbError)
    assert_legal(done)
    assert done.waited < 60
    if name != "finish":  # what it cuts and stops serves nobody
        assert_nothing_too_early(doubtful.ran, had, chosen)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["cut off", "empty", "unreachable", "cancelled", "text"])
def test_one_wrong_answer_leaves_somebody_serving(name: str, kind: str) -> None:
    done, *_ = answered(name, [])
    assert done.error is None
    for position in range(len(done.scripts)):
        oddities = [Oddity("fine")] * position + [Oddity(kind, text="?")]
        _, doubtful, _, chosen = answered(name, oddities)
        host = doubtful.host
        host.time.pass_by(40.0)
        served = host.serving if chosen.role.traefik else host.running
        assert served, (kind, position)
