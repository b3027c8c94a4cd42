"""The demo, as a newcomer runs it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from shop import Shop

from kamalnb.lab import Lab, demo


@pytest.fixture(autouse=True)
def _gone_afterwards(lab: Lab, tmp_path: Path) -> Iterator[None]:
    """Its app answers whatever no other router asks for: left there, no other test could see that nothing answers."""
    yield
    Shop(lab, tmp_path, "app").clean()


def test_the_demo_boots_two_versions_and_loses_nothing(lab: Lab) -> None:
    heard: list[str] = []
    code = demo.run(heard.append, lab.directory, count=len(lab.hosts), rate=40)
    told = "\n".join(heard)
    assert code == 0, told
    assert ", lost 0, versions v1 → v2" in told
    assert "app-web-v2" in told
    assert "lab.down" in told
