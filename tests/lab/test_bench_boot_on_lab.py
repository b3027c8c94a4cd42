"""The yardstick of ``bench.boot``, on real hosts."""

from __future__ import annotations

from kamalnb.lab import Lab
from kamalnb.lab.bare import SERVICE, BareBoots
from kamalnb.lab.images import APP


def test_the_yardstick_replaces_a_container_and_leaves_nothing(proxied: Lab) -> None:
    bare = BareBoots(proxied, APP)
    try:
        bare.boot("v1")
        bare.boot("v2")
        for host in proxied.hosts:
            words = ["docker", "ps", "--filter", f"label=service={SERVICE}", "--format", "{{.Image}}"]
            assert proxied.exec(host.name, words).stdout.split() == [f"{APP}:v2"]
    finally:
        bare.clear()
    for host in proxied.hosts:
        words = ["docker", "ps", "--all", "--quiet", "--filter", f"label=service={SERVICE}"]
        assert proxied.exec(host.name, words).stdout == ""
