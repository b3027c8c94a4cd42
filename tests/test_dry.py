"""A dry run looks for real, changes nothing, and shows each command with its secrets hidden."""

from __future__ import annotations

from dataclasses import replace

import pytest
from boots import booted, kamal, plan, role, serving

from kamalnb.boot import boot
from kamalnb.dry import WOULD, DryRunExecutor
from kamalnb.flow import Run
from kamalnb.shell import Result, Secret
from kamalnb.testing import Driven, PretendFleet, PretendHost, drive


def dry(host: PretendHost, version: str, **changes: object) -> tuple[Driven, list[Result]]:
    executor = DryRunExecutor(PretendFleet([host]))
    seen: list[Result] = []

    def answered(run: Run) -> tuple[Result, ...]:
        return executor.run(
            host.name, run.script, lambda number, result: seen.append(result), lambda number, line: None
        )

    return drive(boot(replace(plan(version), **changes)), answered), seen


def hosts() -> dict[str, PretendHost]:
    down, old = serving("v1"), PretendHost()
    assert booted(down, "v2").error is None
    kamal(old)
    return {"first": PretendHost(), "up": serving("v1"), "down": down, "kamal": old}


@pytest.mark.parametrize("name", ["first", "up", "down", "kamal"])
def test_nothing_changes_and_the_whole_boot_is_shown(name: str) -> None:
    host = hosts()[name]
    did, files, cords = list(host.did), dict(host.files), dict(host.cords)
    done, seen = dry(host, "v3")
    assert done.error is None
    assert (host.did, host.files, host.cords) == (did, files, cords)
    would = [result.name for result in seen if result.stderr == WOULD]
    assert would.index("start container") < would.index("tie cord") < would.index("wait for proxy")
    assert ("stop container" in would) is (name != "first")


def test_looks_before_the_first_change_are_real() -> None:
    _, seen = dry(serving("v1"), "v2")
    real = [result.name for result in seen if result.stderr != WOULD]
    assert {"list containers", "look at cords", "look at image"} <= set(real)


def test_secrets_are_never_shown() -> None:
    _, seen = dry(serving("v1"), "v2", env_file=Secret("KEY=hunter2\n"))
    text = "\n".join(result.line + result.stdout for result in seen)
    assert "hunter2" not in text
    assert "[REDACTED]" in text


def test_host_that_cannot_be_booted_says_so_in_a_dry_run_too() -> None:
    host = PretendHost()
    host.find("traefik").status = "exited"
    done, _ = dry(host, "v1")
    assert "No Traefik runs" in str(done.error)


def test_worker_is_shown_too() -> None:
    host = serving("v1", role("job"))
    done, seen = dry(host, "v2", role=role("job"))
    assert done.error is None
    assert [result.name for result in seen if result.stderr == WOULD][-1] == "stop container"
