"""The demo, as a newcomer runs it."""

from __future__ import annotations

from kamalnb.lab import Lab, demo


def test_the_demo_boots_two_versions_and_loses_nothing(lab: Lab) -> None:
    heard: list[str] = []
    code = demo.run(heard.append, lab.directory, count=len(lab.hosts), rate=40)
    told = "\n".join(heard)
    assert code == 0, told
    assert ", lost 0, versions v1 → v2" in told
    assert "app-web-v2" in told
    assert "lab.down" in told
