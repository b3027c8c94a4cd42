"""The lab's containers: its network, registry, jump host and hosts. Made, changed and removed by their labels."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ..errors import LabError
from .engine import Engine
from .images import Images, save_to
from .keys import Keys
from .machine import Say
from .plan import STABLE, SUBNETS, HostPlan, LabPlan
from .registry import RegistryLogin, push

ID_LABEL = "kamalnb.lab.id"
SPEC_LABEL = "kamalnb.lab.spec"
UP_SECONDS = 60
MARK = "kamalnb-lab-images"
"""A file beside the images of an engine or a registry that tells which set is complete there."""

PRIVILEGED = ("--privileged",)
CAPABLE = (
    *(f"--cap-add={name}" for name in ("SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE", "SYSLOG", "IPC_LOCK")),
    *(f"--security-opt={name}" for name in ("seccomp=unconfined", "apparmor=unconfined", "systempaths=unconfined")),
)
"""What an engine inside a container needs, where --privileged is not allowed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A container of this lab, as the outer engine shows it."""

    name: str
    id: str
    state: str
    spec: str

    @property
    def running(self) -> bool:
        """Neither stopped nor paused."""
        return self.state == "running"


def access_words(engine: Engine, image: str) -> tuple[str, ...]:
    """The flags under which a container may run an engine of its own here; LabError where none do."""
    probe = ("sh", "-c", "mount -t tmpfs none /mnt && iptables -w -S >/dev/null")
    mounts = ("--volume=/sys/fs/cgroup:/sys/fs/cgroup",) if engine.info("{{.CgroupVersion}}") == "1" else ()
    last = ""
    for words in (PRIVILEGED, (*CAPABLE, *mounts)):
        entry = ("--entrypoint", probe[0], image, *probe[1:])
        done = engine.docker("run", "--rm", "--network", "none", *words, *entry, check=False, seconds=120)
        if done.returncode == 0:
            return words
        last = (done.stderr.strip().splitlines() or [""])[-1]
    raise LabError(
        f"This machine does not allow containers that run a Docker engine of their own ({last}). "
        "Run the lab on a machine, or in a container, that has CAP_SYS_ADMIN and CAP_NET_ADMIN."
    )


# -- what is wanted (pure) ----------------------------------------------------------------------------------------


def common_words(plan: LabPlan, name: str, inside: str) -> list[str]:
    """What every container of the lab is made with."""
    container = plan.container(name)
    return [
        "--name", container, "--hostname", name, "--network", plan.network, "--ip", inside,
        "--label", f"{ID_LABEL}={plan.id}", "--restart", "unless-stopped", "--stop-timeout", "20",
        "--log-opt", "max-size=10m",
    ]  # fmt: skip


def registry_words(plan: LabPlan, image: str) -> list[str]:
    """The registry's container, after ``docker create``."""
    volume = f"{plan.container('registry')}-data:/var/lib/registry"
    return [*common_words(plan, "registry", plan.registry_inside), "--volume", volume, image]


def machine_words(plan: LabPlan, machine: HostPlan, image: str, access: Iterable[str]) -> list[str]:
    """A host's (or the jump host's) container, after ``docker create``."""
    words = [*common_words(plan, machine.name, machine.inside), "--tmpfs", "/run:exec,mode=755"]
    for publish in machine.published:
        words += ["--publish", publish.word]
    words += ["--env", f"SSH_PORT={machine.ssh_port}", "--env", f"ONLY_FROM={machine.only_from}"]
    if machine.name == plan.jump.name:
        return [*words, "--env", "JUMP=1", image]
    # A volume for each kind of Docker: an older engine does not read what a newer one wrote.
    engine = "docker" if plan.docker == STABLE else f"docker-{plan.docker}"
    for volume, path in ((engine, "/var/lib/docker"), ("home", "/home")):
        words += ["--volume", f"{plan.container(machine.name)}-{volume}:{path}"]
    return [*words, "--add-host", f"registry:{plan.registry_inside}", *access, image]


def spec_of(words: Iterable[str], *more: str) -> str:
    """Changes when a container must be made anew."""
    return hashlib.sha256("\0".join([*words, *more]).encode()).hexdigest()[:16]


# -- making it so -------------------------------------------------------------------------------------------------


def existing(engine: Engine, lab_id: str) -> dict[str, Container]:
    """The lab's containers by name, running or not."""
    template = '{{.Names}}\t{{.ID}}\t{{.State}}\t{{.Label "' + SPEC_LABEL + '"}}'
    words = ("ps", "--all", "--no-trunc", "--filter", f"label={ID_LABEL}={lab_id}", "--format", template)
    rows = [line.split("\t") for line in engine.docker(*words).stdout.splitlines() if line.strip()]
    return {row[0]: Container(name=row[0], id=row[1], state=row[2], spec=row[3]) for row in rows}


def make_network(engine: Engine, plan: LabPlan) -> str:
    """The lab's network, made where it is missing. Returns the first three numbers of its addresses."""
    found = engine.docker("network", "inspect", plan.network, check=False)
    if found.returncode == 0:
        return str(json.loads(found.stdout)[0]["IPAM"]["Config"][0]["Subnet"]).rsplit(".", 1)[0]
    last = ""
    for subnet in dict.fromkeys((plan.subnet, *SUBNETS)):
        if routed_here(f"{subnet}."):
            continue
        words = ["network", "create", "--subnet", f"{subnet}.0/24", "--label", f"{ID_LABEL}={plan.id}"]
        words += [
            "--opt",
            f"com.docker.network.bridge.name={plan.network}",
            "--opt",
            f"com.docker.network.driver.mtu={mtu()}",
        ]
        done = engine.docker(*words, plan.network, check=False)
        if done.returncode == 0:
            return subnet
        last = done.stderr.strip()
    raise LabError(
        f"No address range is free for the lab's network ({last}). Remove Docker networks that nothing uses."
    )


def routed_here(prefix: str) -> bool:
    """Whether an interface of this machine has an address that begins so (on Linux; elsewhere Docker finds out)."""
    with suppress(OSError):
        return any(f" {prefix}" in line for line in Path("/proc/net/fib_trie").read_text().splitlines())
    return False


def mtu() -> int:
    """The smallest MTU of this machine's network cards, at most 1500: a bridge must not promise more."""
    found = [1500]
    for path in Path("/sys/class/net").glob("*/mtu"):
        if (path.parent / "device").exists():
            with suppress(OSError, ValueError):
                found.append(int(path.read_text()))
    return max(min(found), 1280)


def converge(
    engine: Engine,
    plan: LabPlan,
    images: Images,
    keys: Keys,
    login: RegistryLogin,
    access: Iterable[str],
    say: Say,
) -> dict[str, str]:
    """Makes, changes and starts containers until the lab is as planned. Returns full IDs by container name."""
    access = tuple(access)
    there = existing(engine, plan.id)
    registry = plan.container("registry")
    wanted = {registry: registry_words(plan, images.registry)}
    machines = {plan.container(machine.name): machine for machine in plan.machines}
    wanted |= {name: machine_words(plan, machine, images.host, access) for name, machine in machines.items()}
    specs = {name: spec_of(words, *key_marks(keys, machines.get(name))) for name, words in wanted.items()}
    specs[registry] = spec_of(wanted[registry], *login.marks)
    if any(name not in there or there[name].spec != specs[name] or not there[name].running for name in wanted):
        say(f"starting {len(wanted)} containers…")
    remove_others(engine, there, specs)

    def ensure(name: str) -> None:
        old = there.get(name)
        if old is None or old.spec != specs[name]:
            engine.docker("create", "--label", f"{SPEC_LABEL}={specs[name]}", *wanted[name])
            if name in machines:
                copy_keys(engine, name, keys, machines[name])
            else:
                copy(engine, name, login.files)
        if old is not None and old.state == "paused":
            engine.docker("unpause", name)
        start(engine, name)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(ensure, wanted))
    return {name: container.id for name, container in existing(engine, plan.id).items()}


def remove_others(engine: Engine, there: Mapping[str, Container], specs: Mapping[str, str]) -> None:
    """Removes containers that are not wanted, or not so; the volumes of those that come again stay."""
    for name, container in there.items():
        if specs.get(name) != container.spec:
            engine.docker("rm", "--force", container.id)
    for name in there.keys() - specs.keys():
        remove_volumes(engine, f"{name}-")


def start(engine: Engine, name: str) -> None:
    """Starts a container; a port that is taken is said in one sentence."""
    done = engine.docker("start", name, check=False)
    if done.returncode == 0:
        return
    text = done.stderr.strip()
    if "already in use" in text or "already allocated" in text:
        raise LabError(f"A port of this machine that the lab uses was taken meanwhile ({text}). Stop that program.")
    raise LabError(f"The lab's container {name} does not start ({text}). Run lab.down and then lab.up.")


def key_marks(keys: Keys, machine: HostPlan | None) -> tuple[str, ...]:
    """What of the keys is inside a container: it is made anew when these change."""
    if machine is None:
        return ()
    return (keys.public(keys.host_key(machine.name)), keys.authorized(machine.agent_key))


def copy_keys(engine: Engine, container: str, keys: Keys, machine: HostPlan) -> None:
    """Puts a host's keys into its container; lab-host installs them at each start."""
    files = {
        "lab-keys/ssh_host_ed25519_key": (keys.host_key(machine.name).read_bytes(), 0o600),
        "lab-keys/authorized_keys": (keys.authorized(machine.agent_key).encode(), 0o644),
    }
    copy(engine, container, files)


def copy(engine: Engine, container: str, files: Mapping[str, tuple[bytes, int]]) -> None:
    """Puts files into a container; their contents are ASCII, so that the archive goes through as text."""
    engine.docker("cp", "-", f"{container}:/", input=tar_of(files).decode("ascii"))


def tar_of(files: Mapping[str, tuple[bytes, int]]) -> bytes:
    """A tar archive of ``{name: (content, mode)}``, owned by root, always the same for the same files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, (content, mode) in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


# -- Docker inside ------------------------------------------------------------------------------------------------


def await_docker(engine: Engine, container: str) -> None:
    """Waits until the engine inside a host answers; LabError with its last lines if it does not."""
    loop = f"timeout {UP_SECONDS} sh -c 'until docker version >/dev/null 2>&1; do sleep 0.1; done'"
    if engine.docker("exec", container, "sh", "-c", loop, check=False, seconds=UP_SECONDS * 3).returncode == 0:
        return
    logged = engine.docker("logs", "--tail", "8", container, check=False)
    last = "".join(f"\n    {line}" for line in (logged.stdout + logged.stderr).splitlines()[-8:])
    if "overlay" in last:
        hint = "The disk under the outer engine cannot hold overlay2 layers: give it one that is ext4, xfs or btrfs."
    else:
        hint = f"“docker logs {container}” has more."
    raise LabError(f"The Docker engine inside {container} does not come up.{last}\n{hint}")


def preload(engine: Engine, plan: LabPlan, images: Images, say: Say) -> None:
    """Puts the images onto every host that lacks them, and into the registry."""
    containers = [plan.container(host.name) for host in plan.hosts]
    registry = plan.container("registry")
    lacking = [name for name in containers if mark(engine, name, "/var/lib/docker") != images.fingerprint]
    if lacking:
        say(f"loading {len(images.names_on_hosts)} images onto {len(lacking)} hosts (about 20 s)…")
        save_to(engine, images.names_on_hosts, lacking)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda name: rename_images(engine, name, images), lacking))
    if mark(engine, registry, "/var/lib/registry") != images.fingerprint:
        say("filling the registry (about 15 s)…")
        push(engine, containers[0])
        set_mark(engine, registry, "/var/lib/registry", images.fingerprint)


def rename_images(engine: Engine, container: str, images: Images) -> None:
    """Gives images on a host the names that deploy.yml uses, and none but these."""
    lines = [f"docker tag {image} {name} && docker rmi {image}" for image, name in images.names_on_hosts.items()]
    script = "set -e\n" + "\n".join(lines) + "\n"
    engine.docker("exec", "--interactive", container, "sh", "-e", input=script)
    set_mark(engine, container, "/var/lib/docker", images.fingerprint)


def mark(engine: Engine, container: str, directory: str) -> str:
    """Which set of images is complete there; "" for none."""
    return engine.docker("exec", container, "cat", f"{directory}/{MARK}", check=False).stdout.strip()


def set_mark(engine: Engine, container: str, directory: str, fingerprint: str) -> None:
    """Says that this set of images is complete there."""
    script = f"echo {fingerprint} > {directory}/{MARK}.new && mv {directory}/{MARK}.new {directory}/{MARK}"
    engine.docker("exec", container, "sh", "-c", script)


# -- the end ------------------------------------------------------------------------------------------------------


def remove_all(engine: Engine, lab_id: str, network: str) -> None:
    """Removes the lab's containers, volumes and network."""
    ids = [container.id for container in existing(engine, lab_id).values()]
    if ids:
        engine.docker("rm", "--force", "--volumes", *ids)
    remove_volumes(engine, f"klab-{lab_id}-")
    for _ in range(3):
        if engine.docker("network", "inspect", network, check=False).returncode != 0:
            return
        engine.docker("network", "rm", network, check=False)
        time.sleep(0.3)


def remove_volumes(engine: Engine, prefix: str) -> None:
    """Removes the volumes whose names begin with ``prefix``."""
    names = [name for name in engine.docker("volume", "ls", "--quiet").stdout.split() if name.startswith(prefix)]
    if names:
        engine.docker("volume", "rm", "--force", *names)
