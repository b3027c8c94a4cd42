"""The files a lab writes for people and tools: ssh_config, known_hosts, deploy.yml. Pure text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from .images import APP_VERSIONS, REGISTRY, TRAEFIK
from .plan import USER, HostPlan, LabPlan


def ssh_config(plan: LabPlan, *, known_hosts: Path, key: Path, agent_socket: Path) -> str:
    """How OpenSSH reaches each host of the lab by its name in deploy.yml."""
    blocks = [_ssh_block(machine, plan, key=key, agent_socket=agent_socket) for machine in plan.machines]
    return "\n".join([
        "# Written by lab.up: it is written again each time.",
        *blocks,
        f"Host {' '.join(machine.name for machine in plan.machines)}",
        f"    User {USER}",
        f"    UserKnownHostsFile {quoted(known_hosts)}",
        "    GlobalKnownHostsFile /dev/null",
        "    StrictHostKeyChecking yes",
        "    PreferredAuthentications publickey",
        "    ConnectTimeout 10",
        "",
    ])  # fmt: skip


def _ssh_block(machine: HostPlan, plan: LabPlan, *, key: Path, agent_socket: Path) -> str:
    lines = [f"Host {machine.name}"]
    if machine.ssh:
        lines += [f"    HostName {machine.ssh.address}", f"    Port {machine.ssh.port}"]
    else:
        lines += [f"    HostName {machine.inside}", f"    Port {machine.ssh_port}", f"    ProxyJump {plan.jump.name}"]
    if machine.agent_key:
        lines += [f"    IdentityAgent {quoted(agent_socket)}"]
    else:
        lines += [f"    IdentityFile {quoted(key)}", "    IdentitiesOnly yes", "    IdentityAgent none"]
    return "\n".join([*lines, ""])


def quoted(path: Path) -> str:
    """A path as ssh_config takes it: percent signs doubled, quoted where it has blanks."""
    text = str(path).replace("%", "%%")
    return f'"{text}"' if any(blank in text for blank in " \t") else text


def known_hosts(plan: LabPlan, public_keys: Mapping[str, str]) -> str:
    """A line for each host, from the keys that were made for it: nothing is trusted on first use."""
    lines = []
    for machine in plan.machines:
        names = [machine.name, _as_known(machine.inside, machine.ssh_port)]
        if machine.ssh:
            names.append(_as_known(machine.ssh.address, machine.ssh.port))
        lines.append(f"{','.join(dict.fromkeys(names))} {public_keys[machine.name]}\n")
    return "".join(lines)


def _as_known(address: str, port: int) -> str:
    return address if port == 22 else f"[{address}]:{port}"


def deploy_yml(plan: LabPlan, ssh_config_path: Path) -> str:
    """A deploy.yml for the lab, with comments for whoever reads one for the first time."""
    hosts = "\n".join(_host_line(host) for host in plan.hosts)
    tags = "\n".join(f"#   {version.tag:<14} {version.about}" for version in APP_VERSIONS)
    return f"""\
# Written by lab.up for the demo app: it is written again each time. Copy it to make it yours.
#
# Versions that the registry has:
{tags}
#   latest         the same image as v1

# The name of what runs; container names and routers begin with it.
service: app

# The image, without its registry and without a version.
image: app

# Where hosts pull the image from. The lab's registry asks nobody for a name or a password.
registry:
  server: {REGISTRY}

# Hosts by role; web is the role that Traefik routes to.
servers:
  web:
{hosts}

# What a new container must answer before users see it.
healthcheck:
  path: /up
  port: 3000

# The proxy in front of the containers, one for each host.
traefik:
  image: {TRAEFIK}
  host_port: 80

# Host names above are looked up here: addresses, ports, the jump host and keys stand in that file.
ssh:
  user: {USER}
  config: {yaml_text(ssh_config_path)}
"""


def _host_line(host: HostPlan) -> str:
    about = ", ".join(part for part in (host.special, host.proxy_url) if part)
    return f"    - {host.name}  # {about}"


def yaml_text(path: Path) -> str:
    """A path as a YAML scalar: plain where that is safe, else double-quoted."""
    text = str(path)
    if all(character.isalnum() or character in "/._-" for character in text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
