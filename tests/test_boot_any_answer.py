"""Whatever a host answers: the boot ends, with a value or with an error of ours, and touches nothing too early."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from boots import REPOSITORY, kamal, plan, role, serving
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from kamalnb import traefik
from kamalnb.boot import Booted, boot
from kamalnb.docker import containers
from kamalnb.errors import HostUnreachable, KamalnbError
from kamalnb.events import NEXT, Phase
from kamalnb.flow import Cancelled, Enter, Pause, Run
from kamalnb.plan import BootPlan
from kamalnb.script import Script
from kamalnb.shell import Command, Result
from kamalnb.testing import Driven, PretendFleet, PretendHost, drive
from kamalnb.testing.containers import life

GARBAGE = st.one_of(
    st.sampled_from(
        [
            "",
            "\n",
            "{}",
            "[]",
            "null",
            "acknowledged",
            "state running 0 unhealthy",
            "left 3",
            "left unknown",
            "exit 137 abc",
            "tied",
            "tied relative",
            "sl local_address",
            '{"id":"x"}',
            '{"id":1,"name":2}',
            "0: 00000000:0BB8 00000000:0000 0A",
            "0: zz:zz 00000000:0000 0A",
        ]
    ),
    st.text(max_size=40),
)
CODES = st.sampled_from([0, 1, 2, 65, 66, 67, 68, 69, 76, 125, 127, 137, 255])


@dataclass(frozen=True)
class Oddity:
    """What is wrong with one answer: fine, code, text, both, cut off, empty, short, fails, unreachable, cancelled."""

    kind: str
    code: int = 0
    text: str = ""
    at: int = 0


ODDITIES = st.builds(
    Oddity,
    st.sampled_from(["fine"] * 4 + ["code", "text", "both", "cut off", "empty", "short", "unreachable", "cancelled"]),
    CODES,
    GARBAGE,
    st.integers(0, 12),
)


@dataclass
class Doubtful:
    """A pretend host whose answers are spoiled on their way."""

    host: PretendHost
    oddities: list[Oddity]
    ran: list[tuple[Command, Result]] = field(default_factory=list)
    switched: bool = False

    def __call__(self, run: Run) -> tuple[Result, ...] | KamalnbError:
        oddity = self.oddities.pop(0) if self.oddities else Oddity("fine")
        if oddity.kind == "unreachable":
            return HostUnreachable(self.host.name, "connect", "gone")
        if oddity.kind == "cancelled" and not self.switched:
            return Cancelled()
        self.switched = self.switched or run.script.journal is not None
        if oddity.kind == "fails":
            self.host.fail(run.script.commands[oddity.at % len(run.script.commands)].name, oddity.code)
        told = self._played(run.script)
        self.host.failing.clear()
        return spoiled(told, oddity)

    def _played(self, script: Script) -> tuple[Result, ...]:
        fleet = PretendFleet([self.host])
        seen = lambda number, result: self.ran.append((script.commands[number], result))  # noqa: E731
        return fleet.run(self.host.name, script, seen, lambda number, line: None)


def spoiled(results: tuple[Result, ...], oddity: Oddity) -> tuple[Result, ...]:
    """The results as a broken or lying host would give them: a failure ends them, as it ends a script."""
    at = oddity.at % len(results) if results else 0
    changes: dict[str, Callable[[Result], Result]] = {
        "code": lambda one: replace(one, exited=oddity.code),
        "text": lambda one: replace(one, stdout=oddity.text),
        "both": lambda one: replace(one, exited=oddity.code, stdout=oddity.text, stderr=oddity.text),
        "cut off": lambda one: replace(one, exited=None),
    }
    if not results or oddity.kind == "empty":
        return ()
    if oddity.kind == "short":
        return results[:at]
    if oddity.kind not in changes:
        return results
    changed = changes[oddity.kind](results[at])
    return (*results[:at], changed) if not changed.ok else (*results[:at], changed, *results[at + 1 :])


def started_hosts() -> dict[str, Callable[[], tuple[PretendHost, BootPlan]]]:  # noqa: C901  (ten small ones)
    def fresh() -> tuple[PretendHost, BootPlan]:
        return PretendHost(), plan("v1")

    def up() -> tuple[PretendHost, BootPlan]:
        return serving("v1"), plan("v2")

    def down() -> tuple[PretendHost, BootPlan]:
        host = serving("v1")
        drive(boot(plan("v2")), Doubtful(host, []))
        return host, plan("v3")

    def same() -> tuple[PretendHost, BootPlan]:
        return serving("v1"), plan("v1")

    def kamals() -> tuple[PretendHost, BootPlan]:
        host = PretendHost()
        kamal(host)
        return host, plan("v2")

    def leftovers() -> tuple[PretendHost, BootPlan]:
        host, chosen = down()
        life(host, host.of("v1"))
        host.time.pass_by(3.0)
        return host, chosen

    def pulled() -> tuple[PretendHost, BootPlan]:
        host = serving("v1")
        del host.images[f"{REPOSITORY}:v2"]
        return host, plan("v2")

    def worker() -> tuple[PretendHost, BootPlan]:
        return serving("v1", role("job")), plan("v2", role("job"))

    def stop_first() -> tuple[PretendHost, BootPlan]:
        return serving("v1", role("job")), plan("v2", role("job", order="stop-first"))

    def dying() -> tuple[PretendHost, BootPlan]:
        return serving("v1"), plan("exits")

    return {one.__name__: one for one in (fresh, up, down, same, kamals, leftovers, pulled, worker, stop_first, dying)}


HOSTS = started_hosts()


def any_answers(host: PretendHost, chosen: BootPlan, oddities: list[Oddity]) -> tuple[Driven, Doubtful]:
    doubtful = Doubtful(host, list(oddities))
    return drive(boot(chosen), doubtful, pause=host.time.pass_by), doubtful


@pytest.mark.parametrize("name", HOSTS)
@given(oddities=st.lists(ODDITIES, max_size=9))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example(oddities=[])
@example(oddities=[Oddity("fine")] * 2 + [Oddity("unreachable")] * 9)
def test_any_answers_end_in_a_boot_or_in_an_error_of_ours(name: str, oddities: list[Oddity]) -> None:
    host, chosen = HOSTS[name]()
    before = {container.id: container.cord for container in host.containers.values() if container.routable}
    done, doubtful = any_answers(host, chosen, oddities)
    assert isinstance(done.value, Booted) or isinstance(done.error, KamalnbError)
    assert_legal(done)
    assert done.waited < 60
    assert_nothing_too_early(doubtful.ran, before, chosen)


@given(replies=st.lists(st.tuples(st.one_of(st.none(), CODES), GARBAGE), min_size=1, max_size=40))
@settings(max_examples=100, deadline=None)
def test_pure_garbage_ends_too(replies: list[tuple[int | None, str]]) -> None:
    left = list(replies)

    def answer(run: Run) -> tuple[Result, ...]:
        results = []
        for command in run.script.commands:
            exited, text = left.pop(0) if left else (1, "")
            results.append(Result(name=command.name, line="", exited=exited, stdout=text))
            if exited is None:
                break
        return tuple(results)

    done = drive(boot(plan("v1")), answer)
    assert isinstance(done.value, Booted) or isinstance(done.error, KamalnbError)
    assert_legal(done)


DOCUMENTS = ["list containers", "list running containers", "look at traefik", "look at image"]


@pytest.mark.parametrize("name", DOCUMENTS)
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_documents_with_any_field_broken_are_unclear_never_a_crash(name: str, data: st.DataObject) -> None:
    host, chosen = HOSTS["up"]()

    def spoil(results: tuple[Result, ...]) -> tuple[Result, ...]:
        return tuple(replace(one, stdout=broken(one.stdout)) if one.name == name else one for one in results)

    def broken(text: str) -> str:
        lines = [json.loads(line) for line in text.splitlines()]
        key = data.draw(st.sampled_from(sorted(lines[0])))
        value = data.draw(
            st.sampled_from(
                [None, "", 0, -1, [], {}, "x", {"x": None}, [None], {"3000/tcp": {}}, {"bridge": None}, "missing"]
            )
        )
        if value == "missing":
            del lines[0][key]
        else:
            lines[0][key] = value
        return "\n".join(map(json.dumps, lines))

    doubtful = Doubtful(host, [])
    done = drive(boot(chosen), lambda run: spoil(doubtful._played(run.script)))
    assert isinstance(done.value, Booted) or isinstance(done.error, KamalnbError)


def assert_legal(done: Driven) -> None:
    """Phases move only along NEXT; inside a script as its phases say."""
    at: Phase | None = None
    for effect in done.effects:
        if isinstance(effect, Enter):
            assert effect.phase in NEXT[at], f"{at} → {effect.phase}"
            at = effect.phase
        if isinstance(effect, Run) and effect.phases:
            inside = at
            order = [phase for number, phase in sorted(effect.phases) if number in effect.script.order]
            for phase in order:
                assert phase in NEXT[inside], f"{inside} → {phase} in a script"
                inside = phase
            assert Phase.DONE in NEXT[inside]
        assert not isinstance(effect, Pause) or effect.seconds > 0


def assert_nothing_too_early(
    ran: list[tuple[Command, Result]], before: dict[str, str | None], chosen: BootPlan
) -> None:
    """No serving one's cord is cut before the new one was acknowledged, none is stopped before the switch stands."""
    acknowledged = well = chosen.role.order == "stop-first"
    for command, result in ran:
        words = {str(word) for word in command.words}
        acknowledged |= command.name == "wait for proxy" and result.ok
        well |= acknowledged or (command.name in ("readiness delay", "wait for healthy") and result.ok)
        if command.name == "cut cord" and words & set(before.values()):
            assert acknowledged, "an old cord was cut too early"
        if words & set(before):
            assert well or "stop" not in command.name, "an old one was stopped too early"
            assert command.name != "remove container"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["up", "down", "same", "kamals", "leftovers", "stop_first"])
def test_every_single_failure_leaves_somebody_serving(name: str) -> None:
    """Each run of a boot answered wrongly once, in every way: who served before, or the new one, serves after."""
    host, chosen = HOSTS[name]()
    steps = [len(script.commands) for script in any_answers(host, chosen, [])[0].scripts]
    for kind in (
        Oddity("fails", 1),
        Oddity("cut off"),
        Oddity("empty"),
        Oddity("unreachable"),
        Oddity("cancelled"),
        Oddity("text", text="?"),
    ):
        for position, length in enumerate(steps):
            for at in range(length if kind.kind in ("fails", "text") else 1):
                host, chosen = HOSTS[name]()
                had = host.serving
                any_answers(host, chosen, [Oddity("fine")] * position + [replace(kind, at=at)])
                host.time.pass_by(40.0)
                assert had is None or host.serving is not None, (kind, position, at)


def test_recorded_format_number_is_read_as_a_number_or_refused() -> None:
    host, chosen = HOSTS["up"]()
    old = host.of("v1")
    old.labels = {**old.labels, traefik.FORMAT_LABEL: "many"}
    done, _ = any_answers(host, chosen, [])
    assert isinstance(done.error, KamalnbError)


def test_containers_parse_what_pretend_hosts_print() -> None:
    host, _ = HOSTS["up"]()
    from kamalnb.testing.containers import described

    (found,) = containers(json.dumps(described(host.of("v1"), "2026-01-01")))
    assert found.health == "healthy"
    assert found.routable
