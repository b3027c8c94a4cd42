"""Bringing a lab up, again and again, and taking it down."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from ..errors import LabError
from . import base, files, hosts, images, network
from . import engine as engines
from . import keys as lab_keys
from . import plan as plans
from . import registry as registries
from . import state as states
from .lab import Lab, lab_of, ssh_words
from .machine import Say, clear_scratch, install, one_at_a_time, quiet, require_disk, run, why_not_free
from .plan import HostPlan, LabPlan, Publish
from .state import State

SSH_PACKAGES = {"ssh": "openssh-client", "ssh-keygen": "openssh-client", "ssh-agent": "openssh-client"}

SSH_SECONDS = 20.0
"""How long a host may take until it answers over SSH, once its Docker is up."""


def up(directory: Path, count: int = 2, ports: bool = False, say: Say = quiet, docker: str = plans.STABLE) -> Lab:
    """A lab of ``count`` hosts in ``directory``, running. Doing it again changes only what is not so yet.

    ``ports`` uses ports of 127.0.0.1 instead of loopback addresses; ``docker`` is which one the hosts have. LabError
    says in a sentence what this machine cannot do.
    """
    plans.check_count(count)
    plans.check_docker(docker)
    directory, say = directory.absolute(), one_at_a_time(say)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with states.locked(directory):
        install(SSH_PACKAGES, say)
        state = settle(directory, LabPlan(id=plans.lab_id(directory), count=count, ports=ports, docker=docker), say)
        made = make_images(state, directory, say)
        state = make_containers(state, directory, made, say)
        write_files(state, directory)
        say("checking that Docker answers on each host over SSH…")
        await_ssh(state, directory)
        return lab_of(state, directory)


@contextmanager
def taking_addresses() -> Iterator[None]:
    """Labs that come up side by side choose ports and subnets, and bind them, one after the other.

    The lock is on the directory of temporary files itself, which every process of this machine has in common.
    """
    import fcntl

    common = os.open(tempfile.gettempdir(), os.O_RDONLY)
    try:
        fcntl.flock(common, fcntl.LOCK_EX)
        yield
    finally:
        os.close(common)


def settle(directory: Path, wanted: LabPlan, say: Say) -> State:
    """The engine, running, and the plan: what an earlier ``up`` decided stays as far as it fits."""
    old = states.read(directory) or first_state(wanted)
    plan = replace(old.plan, count=wanted.count, ports=wanted.ports, docker=wanted.docker)
    if old.engine.private:
        engines.start_private(old.engine_id, directory / "engine.log", say)
    elif not old.engine.answers():
        raise LabError(f"The Docker engine of this lab ({old.engine_host}) does not answer. Start it and try again.")
    plan = free_block(plan, hosts.existing(old.engine, wanted.id))
    return replace(old, plan=plan).save(directory)


def first_state(plan: LabPlan) -> State:
    """For a directory without a lab: which engine it will use, and what the machine is like before."""
    engine = engines.find_ordinary() or engines.private_engine(plan.id)
    require_disk(engine.root if engine.private else Path(engine.info("{{.DockerRootDir}}")))
    pulls = [not engine.private and one.upstream not in images.present(engine) for one in (base.BOOKWORM, base.SID)]
    return State(
        plan=plan, engine_host=engine.host, engine_id=engine.id, before=network.network_before(),
        pulls_base=pulls[0], pulls_newest=pulls[1],
    )  # fmt: skip


def free_block(plan: LabPlan, there: dict[str, hosts.Container]) -> LabPlan:
    """The plan on the first block whose ports are free; the block it has is kept while a container of it runs."""
    if any(container.running for container in there.values()):
        return plan
    problems: list[tuple[Publish, str]] = []
    for block in dict.fromkeys((plan.block, *plans.BLOCKS)):
        tried = replace(plan, block=block)
        whys = [(publish, why_not_free(publish.address, publish.port)) for publish in tried.published]
        bad = [pair for pair in whys if pair[1]]
        if not bad:
            return tried
        problems.append(bad[0])
    raise plans.no_block(problems)


def make_images(state: State, directory: Path, say: Say) -> images.Images:
    """The lab's images, built where they are missing."""
    scratch = directory / "scratch"
    clear_scratch(scratch)
    scratch.mkdir()
    try:
        return images.build(state.engine, scratch, say, state.plan.docker)
    finally:
        clear_scratch(scratch)


def make_containers(state: State, directory: Path, made: images.Images, say: Say) -> State:
    """Network, keys, agent and containers, with Docker up inside and the images on it."""
    engine = state.engine
    names = [machine.name for machine in state.plan.machines]
    keys = lab_keys.make(directory / "keys", state.plan.id, names)
    state = state.changed(directory, agent_pid=lab_keys.start_agent(keys, state.agent_pid))
    access = state.access or hosts.access_words(engine, made.host)
    with taking_addresses():
        plan = free_block(state.plan, hosts.existing(engine, state.plan.id))
        plan = replace(plan, subnet=hosts.make_network(engine, plan))
        if engine.private:
            network.open_network(plan.network, plan.subnet)
        state = state.changed(directory, plan=plan, access=tuple(access))
        ids = hosts.converge(engine, plan, made, keys, registries.make_login(directory / "keys"), access, say)
        state = state.changed(directory, containers=ids)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda host: hosts.await_docker(engine, plan.container(host.name)), plan.hosts))
    hosts.preload(engine, plan, made, say)
    return state


def write_files(state: State, directory: Path) -> None:
    """ssh_config, known_hosts and deploy.yml."""
    plan = state.plan
    keys = lab_keys.Keys(directory=directory / "keys", lab_id=plan.id)
    public = {machine.name: keys.public(keys.host_key(machine.name)) for machine in plan.machines}
    known = directory / "known_hosts"
    known.write_text(files.known_hosts(plan, public))
    ssh_config = files.ssh_config(plan, known_hosts=known, key=keys.plain, agent_socket=keys.agent_socket)
    (directory / "ssh_config").write_text(ssh_config)
    (directory / "config").mkdir(exist_ok=True)
    (directory / "config" / "deploy.yml").write_text(files.deploy_yml(plan, directory / "ssh_config"))


def await_ssh(state: State, directory: Path) -> None:
    """Waits until ``ssh HOST docker version`` answers on each host; LabError with ssh's words where it does not."""

    def ask(host: HostPlan) -> None:
        words = [
            *ssh_words(directory),
            "-o",
            "BatchMode=yes",
            host.name,
            "docker version --format '{{.Server.Version}}'",
        ]
        deadline = time.monotonic() + SSH_SECONDS
        while True:
            done = run(words, check=False, seconds=60)
            if done.returncode == 0 and done.stdout.strip():
                return
            if time.monotonic() > deadline:
                break
            time.sleep(0.2)
        raise LabError(
            f"Docker on {host.name} does not answer over SSH ({done.stderr.strip()}). Run lab.down, then lab.up."
        )

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, state.plan.hosts))


# -- down ---------------------------------------------------------------------------------------------------------


def down(directory: Path, say: Say = quiet) -> None:
    """Removes everything that ``up`` made for that directory; what others put into it stays. Twice is fine."""
    directory = directory.absolute()
    if not directory.is_dir():
        remove_engine_parts(State(plan=LabPlan(id=plans.lab_id(directory), count=1), engine_host=""), say)
        return
    with states.locked(directory):
        nothing = State(plan=LabPlan(id=plans.lab_id(directory), count=1), engine_host="")
        state = states.read(directory) or nothing
        keys = lab_keys.Keys(directory=directory / "keys", lab_id=state.plan.id)
        lab_keys.stop_agent(keys, state.agent_pid)
        remove_engine_parts(state, say)
        remove_files(directory)
    with suppress(OSError):
        directory.rmdir()


def remove_engine_parts(state: State, say: Say) -> None:
    """Containers, volumes, network, images, and the private engine if it is one."""
    private = engines.private_engine(state.plan.id)
    if state.engine_id or (not state.engine_host and private.root.exists()):
        say("stopping the lab's containers and its Docker engine…")
        if private.answers():
            hosts.remove_all(private, state.plan.id, state.plan.network)
        engines.stop_private(private)
        network.close_network(state.plan.network, state.before)
        engines.remove_private(private)
        return
    engine = state.engine if state.engine_host else engines.find_ordinary()
    if engine is None:
        return
    if not engine.answers():
        raise LabError(f"The Docker engine of this lab ({engine.host}) does not answer. Start it, then run lab.down.")
    say("removing the lab's containers, volumes and images…")
    hosts.remove_all(engine, state.plan.id, state.plan.network)
    others = engine.docker("ps", "--all", "--quiet", "--filter", f"label={hosts.ID_LABEL}").stdout.strip()
    if not others:
        images.remove(engine)
        for release, pulls in ((base.BOOKWORM, state.pulls_base), (base.SID, state.pulls_newest)):
            if pulls:
                engine.docker("image", "rm", release.upstream, check=False)


def remove_files(directory: Path) -> None:
    """What ``up`` wrote; the directory of deploy.yml too, unless something else is in it."""
    clear_scratch(directory / "scratch")
    shutil.rmtree(directory / "keys", ignore_errors=True)
    written = (
        "ssh_config",
        "known_hosts",
        "config/deploy.yml",
        "engine.log",
        states.FILE,
        f"{states.FILE}.new",
        "lock",
    )
    for name in written:
        (directory / name).unlink(missing_ok=True)
    with suppress(OSError):
        (directory / "config").rmdir()
