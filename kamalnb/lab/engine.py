"""The Docker engine that runs the lab: one that answers already, else a private one that is started here.

The private engine has its own data root, exec root, socket and pidfile, no default bridge (the lab's network has its
own), and makes no firewall rules: two engines that do wipe each other's. ``network.py`` makes the few that are needed.
"""

from __future__ import annotations

import os
import platform
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ..errors import LabError
from .machine import Say, failure, has, install, is_root, pid_alive, processes_with, run, unmount_below

START_SECONDS = 60.0
PACKAGES = {"dockerd": "docker.io", "docker": "docker.io", "iptables": "iptables", "ip": "iproute2"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """A Docker engine on this machine. ``id`` is set for a private one, and names its directories."""

    host: str
    """As DOCKER_HOST takes it: ``unix:///…``."""
    id: str = ""

    @property
    def private(self) -> bool:
        """Started by the lab, and removed with it."""
        return bool(self.id)

    def docker(
        self,
        *words: str | Path,
        input: str | None = None,
        check: bool = True,
        seconds: float | None = None,
        env: dict[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Runs ``docker`` against this engine; with ``check``, LabError unless it ends with 0."""
        environment = {**self.environment, **(env or {})}
        return run(["docker", *words], input=input, check=check, env=environment, seconds=seconds)

    @property
    def environment(self) -> dict[str, str]:
        """This process's environment with DOCKER_HOST set to this engine."""
        kept = {key: value for key, value in os.environ.items() if key not in ("DOCKER_CONTEXT", "DOCKER_HOST")}
        return {**kept, "DOCKER_HOST": self.host}

    def answers(self) -> bool:
        """Whether the engine is up."""
        if not has("docker"):
            return False
        done = self.docker("version", "--format", "{{.Server.Version}}", check=False, seconds=30)
        return done.returncode == 0 and bool(done.stdout.strip())

    def info(self, template: str) -> str:
        """One answer of ``docker info``."""
        return self.docker("info", "--format", template).stdout.strip()

    @property
    def root(self) -> Path:
        """Where a private engine keeps images, containers and volumes."""
        return Path(f"/var/lib/kamalnb-lab-{self.id}")

    @property
    def run_directory(self) -> Path:
        """Socket, pidfile and whatever must not survive a restart of the machine."""
        return Path(f"/run/kamalnb-lab-{self.id}")

    @property
    def cgroup(self) -> str:
        """The control group that a private engine's containers live under."""
        return f"/kamalnb-lab-{self.id}"


def private_engine(lab_id: str) -> Engine:
    """The private engine of that lab, running or not."""
    return Engine(host=f"unix:///run/kamalnb-lab-{lab_id}/docker.sock", id=lab_id)


def find_ordinary() -> Engine | None:
    """The engine that ``docker`` talks to on this machine, if it answers and may be used."""
    if not has("docker"):
        return None
    host = os.environ.get("DOCKER_HOST") or context_host()
    engine = Engine(host=host)
    done = engine.docker("version", "--format", "{{.Server.Version}}", check=False, seconds=30)
    if done.returncode == 0 and done.stdout.strip():
        if not host.startswith(("unix://", "npipe://", "fd://")):
            raise LabError(
                f"docker talks to another machine ({host}), and the lab must be on this one. Unset DOCKER_HOST."
            )
        return engine
    socket = Path(host.removeprefix("unix://"))
    if host.startswith("unix://") and socket.exists() and not os.access(socket, os.W_OK):
        raise LabError(
            f"This user may not use the Docker engine at {socket}. Join its group: “usermod -aG docker USER”."
        )
    return None


def context_host() -> str:
    """Where ``docker`` without DOCKER_HOST connects to."""
    done = run(["docker", "context", "inspect", "--format", "{{.Endpoints.docker.Host}}"], check=False, seconds=30)
    return done.stdout.strip() or "unix:///var/run/docker.sock"


def start_private(lab_id: str, log: Path, say: Say) -> Engine:
    """The lab's private engine, up. Installs Docker where it is missing. Takes over what a killed one left."""
    engine = private_engine(lab_id)
    if engine.answers():
        return engine
    refuse_where_impossible()
    install(PACKAGES, say)
    say("starting a Docker engine for the lab…")
    clear_stale(engine)
    engine.run_directory.mkdir(mode=0o711, parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            engine_words(engine),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd="/",
            start_new_session=True,
        )
    await_engine(engine, process, log)
    check_storage(engine)
    return engine


def refuse_where_impossible() -> None:
    """LabError where no engine can be started by this process on this machine."""
    if platform.system() != "Linux":
        raise LabError("No Docker engine answers on this machine. Start Docker (Docker Desktop, for instance).")
    if not is_root():
        raise LabError(
            "No Docker engine answers, and only root can start one for the lab. Start Docker, or run this as root."
        )


def engine_words(engine: Engine) -> list[str]:
    """The command line of a private engine."""
    flags = {
        "data-root": engine.root,
        "exec-root": engine.run_directory / "exec",
        "pidfile": engine.run_directory / "docker.pid",
        "host": engine.host,
        "config-file": engine.run_directory / "no-daemon.json",
        "bridge": "none",
        "iptables": "false",
        "ip6tables": "false",
        "ip-forward": "false",
        "ip-masq": "false",
        "userland-proxy": "true",
        "exec-opt": "native.cgroupdriver=cgroupfs",
        "cgroup-parent": engine.cgroup,
        "log-level": "warn",
    }
    # --config-file must exist when it is named; without it /etc/docker/daemon.json of the machine would be read
    engine.run_directory.mkdir(mode=0o711, parents=True, exist_ok=True)
    (engine.run_directory / "no-daemon.json").write_text("{}\n")
    return ["dockerd", *(f"--{name}={value}" for name, value in flags.items())]


def clear_stale(engine: Engine) -> None:
    """Removes the pidfiles of a dead engine: their numbers may belong to other processes by now.

    (dockerd waits 15 s for a containerd whose number somebody else has, and then gives up.)
    """
    pidfiles = {"dockerd": "docker.pid", "containerd": "exec/containerd/containerd.pid"}
    for program, name in pidfiles.items():
        pidfile = engine.run_directory / name
        with suppress(OSError, ValueError):
            if not pid_alive(int(pidfile.read_text()), program, engine.id):
                pidfile.unlink()


def await_engine(engine: Engine, process: subprocess.Popen[bytes], log: Path) -> None:
    """Waits until the engine answers; LabError with its last lines if it ends or stays silent."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if engine.answers():
            process.returncode = 0  # it outlives this process: nobody is to warn that it still runs
            return
        if process.poll() is not None:
            break
        time.sleep(0.2)
    last = "\n".join(log.read_text(errors="replace").splitlines()[-8:])
    raise failure(["dockerd"], process.poll() or 1, last, f"No private Docker engine comes up here; its log is {log}.")


def check_storage(engine: Engine) -> None:
    """LabError where the disk cannot hold overlay2 layers: inner engines would copy every image whole."""
    driver = engine.info("{{.Driver}}")
    if driver == "vfs":
        raise LabError(
            f"The disk at {engine.root} cannot hold Docker's overlay2 layers. "
            "Run the lab on a machine (or with a volume) whose /var/lib is ext4, xfs or btrfs."
        )


# -- the end ------------------------------------------------------------------------------------------------------


def stop_private(engine: Engine) -> None:
    """Stops a private engine and everything it started, its own death by SIGKILL before now included."""
    stop_process(engine)
    for pid in [*processes_with(f"{engine.run_directory}/"), *processes_in(engine.cgroup)]:
        with suppress(OSError):
            os.kill(pid, signal.SIGKILL)


def remove_private(engine: Engine) -> None:
    """Removes all that a stopped private engine kept."""
    unmount_below(engine.root, engine.run_directory)
    remove_cgroups(engine.cgroup)
    for directory in (engine.run_directory, engine.root):
        shutil.rmtree(directory, ignore_errors=True)
        if directory.exists():
            raise LabError(f"{directory} could not be removed. Run “rm -rf {directory}” as root.")


def stop_process(engine: Engine) -> None:
    """SIGTERM to dockerd, SIGKILL 20 s later; containers are gone by then."""
    with suppress(OSError, ValueError):
        pid = int((engine.run_directory / "docker.pid").read_text())
        if not pid_alive(pid, "dockerd", str(engine.root)):
            return
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + 20
        while pid_alive(pid, "dockerd") and time.monotonic() < deadline:
            time.sleep(0.1)
        if pid_alive(pid, "dockerd", str(engine.root)):
            os.kill(pid, signal.SIGKILL)


def cgroups(name: str) -> list[Path]:
    """The directories of the control group of that name, in every hierarchy, the deepest first."""
    base = Path("/sys/fs/cgroup")
    tops = [base / name.lstrip("/"), *base.glob(f"*/{name.lstrip('/')}")]
    return [Path(directory) for top in tops for directory, _, _ in os.walk(top, topdown=False)]


def processes_in(name: str) -> set[int]:
    """Processes of containers whose engine and shims were killed: only their control group tells whose they are."""
    found: set[int] = set()
    for directory in cgroups(name):
        with suppress(OSError):
            found.update(int(line) for line in (directory / "cgroup.procs").read_text().split())
    return found - {0}


def remove_cgroups(name: str) -> None:
    """Removes the control groups of that name; those whose processes are still ending get half a second."""
    deadline = time.monotonic() + 0.5
    while left := cgroups(name):
        for directory in left:
            with suppress(OSError):
                directory.rmdir()
        if time.monotonic() > deadline:
            return
        time.sleep(0.02)
