"""What a private engine's network needs of this machine: IP forwarding, and three firewall rules marked as ours."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from .machine import command_of, has, processes_with, run


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """What the machine was like before a private engine came, to be put back."""

    ip_forward: str = ""


def network_before() -> Before:
    """What opening the network changes, as it is now."""
    with suppress(OSError):
        return Before(ip_forward=Path("/proc/sys/net/ipv4/ip_forward").read_text().strip())
    return Before()


def open_network(bridge: str, subnet: str) -> None:
    """Lets a private engine's network reach the world, and itself where another engine's firewall says DROP."""
    with suppress(OSError):
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1\n")
    for table, rule in firewall_rules(bridge, subnet):
        if run(["iptables", "-w", "-t", table, "-C", *rule], check=False).returncode != 0:
            run(["iptables", "-w", "-t", table, "-I", *rule])


def firewall_rules(bridge: str, subnet: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """``(table, rule)``: each rule begins with its chain and bears the bridge's name as its comment."""
    mark = ("-m", "comment", "--comment", bridge)
    return (
        ("filter", ("FORWARD", "-i", bridge, *mark, "-j", "ACCEPT")),
        ("filter", ("FORWARD", "-o", bridge, *mark, "-j", "ACCEPT")),
        ("nat", ("POSTROUTING", "-s", f"{subnet}.0/24", "!", "-o", bridge, *mark, "-j", "MASQUERADE")),
    )


def close_network(bridge: str, before: Before) -> None:
    """Removes the lab's firewall rules and bridge, and puts IP forwarding back unless another engine needs it."""
    if has("iptables"):
        for table in ("filter", "nat"):
            listed = run(["iptables", "-w", "-t", table, "-S"], check=False).stdout.splitlines()
            for words in rules_of(bridge, listed):
                run(["iptables", "-w", "-t", table, "-D", *words], check=False)
    if has("ip") and Path(f"/sys/class/net/{bridge}").exists():
        run(["ip", "link", "delete", bridge], check=False)
    if before.ip_forward == "0" and not any("dockerd" in command_of(pid) for pid in processes_with("dockerd")):
        with suppress(OSError):
            Path("/proc/sys/net/ipv4/ip_forward").write_text("0\n")


def rules_of(bridge: str, listed: Sequence[str]) -> list[list[str]]:
    """From ``iptables -S``: the rules that bear the lab's comment, each as words after ``-A``."""
    rules = [shlex.split(line) for line in listed if line.startswith("-A ")]
    return [rule[1:] for rule in rules if "--comment" in rule and rule[rule.index("--comment") + 1] == bridge]
