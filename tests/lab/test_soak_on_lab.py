"""A short soak: nothing that must hold is broken, no request is lost. ``invoke soak --minutes=`` is the long one."""

from __future__ import annotations

import pytest

from kamalnb.lab import Lab, soak

ROUNDS = 8
SEED = 11
"""Its rounds are these: a change of rounds.py's tables changes them."""


@pytest.mark.timeout(900)
def test_a_short_soak_loses_nothing(lab: Lab) -> None:
    lines: list[str] = []
    done = soak.run(lines.append, lab.directory, rounds=ROUNDS, seed=SEED)
    assert done.ok, "\n".join(lines)
    assert len(done.rows) == ROUNDS
    assert done.samples > 0
