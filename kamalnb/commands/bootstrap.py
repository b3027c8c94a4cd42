"""Commands that make a bare host ready: what it has, and what installs the rest. Nothing here may do I/O."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import Unclear
from ..shell import Command, Question, look

# One fact a line. Rights: root, sudo (without a password), none. Docker: none, down, denied, or its version.
FACTS = """\
k_facts() {
  printf 'user %s\\n' "$(id -un)"
  if [ "$(id -u)" = 0 ]; then echo 'rights root'
  elif command -v sudo >/dev/null 2>&1 && sudo -n true >/dev/null 2>&1; then echo 'rights sudo'
  else echo 'rights none'; fi
  if ! command -v docker >/dev/null 2>&1; then echo 'docker none'
  elif k_v=$(docker version --format '{{.Server.Version}}' 2>&1); then printf 'docker %s\\n' "$k_v"
  else case $k_v in *[Pp]ermission\\ denied*) echo 'docker denied' ;; *) echo 'docker down' ;; esac; fi
  if command -v apt-get >/dev/null 2>&1; then echo 'packages apt'; else echo 'packages none'; fi
  if command -v flock >/dev/null 2>&1; then echo 'flock yes'; else echo 'flock no'; fi
  k_os=$(sed -n 's/^PRETTY_NAME="\\{0,1\\}\\([^"]*\\)"\\{0,1\\}$/\\1/p' /etc/os-release 2>/dev/null | head -n 1)
  printf 'os %s\\n' "$k_os"
  if [ -d "$1" ] && [ -w "$1" ]; then echo 'directory yes'
  elif [ -e "$1" ]; then echo 'directory locked'
  else echo 'directory no'; fi
}"""

INSTALL = """\
k_as() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }
k_apt() {
  k_as apt-get update -q >/dev/null &&
    k_as env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@" >/dev/null
}
k_docker_up() {
  k_as systemctl enable --now docker >/dev/null 2>&1 || k_as service docker start >/dev/null 2>&1
  k_i=0
  until k_as docker version >/dev/null 2>&1; do k_i=$((k_i + 1)); [ $k_i -lt 100 ] || return 1; sleep 0.3; done
}
k_group() { k_as usermod -aG docker "$(id -un)"; }"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a host has."""

    user: str
    rights: str
    """root, sudo, none."""
    docker: str
    """none, down, denied, or the version that answers."""
    packages: str
    flock: bool
    os: str
    directory: str
    """The run directory: yes, no, locked (there, and not ours to write)."""

    @property
    def may_install(self) -> bool:
        """Whether it lets us, without asking for a password."""
        return self.rights != "none"


def facts(run_directory: str) -> Question[Facts]:
    """What a host has, in one look."""
    return Question(look("look at server", "k_facts", run_directory, uses=(FACTS,), limit=60.0), _facts)


def install(*packages: str) -> Command:
    """Installs packages of Debian or Ubuntu, with ``sudo -n`` where we are not root."""
    return Command(name="install packages", words=("k_apt", *packages), uses=(INSTALL,), limit=900.0)


def start_docker() -> Command:
    """Starts Docker now and at each start of the host, and waits for it."""
    return Command(name="start docker", words=("k_docker_up",), uses=(INSTALL,), limit=120.0)


def join_group() -> Command:
    """Puts the login user into the group ``docker``."""
    return Command(name="join group docker", words=("k_group",), uses=(INSTALL,))


def make_directory(path: str) -> Command:
    """Makes the run directory."""
    return Command(name="make run directory", words=("mkdir", "-p", "--", path))


def execute(line: str, limit: float) -> Command:
    """A line as a person typed it, for the host's own ``sh``: the one place where shell text comes from outside."""
    return Command(name="server exec", words=("sh", "-c", line), may_fail=True, limit=limit)


def _facts(text: str) -> Facts:
    found = dict(line.partition(" ")[::2] for line in text.splitlines() if line)
    missing = {"user", "rights", "docker", "packages", "flock", "os", "directory"} - set(found)
    if missing:
        raise Unclear("look at server", text, f"{', '.join(sorted(missing))} is not said")
    return Facts(
        user=found["user"], rights=found["rights"], docker=found["docker"], packages=found["packages"],
        flock=found["flock"] == "yes", os=found["os"], directory=found["directory"],
    )  # fmt: skip


ALL = (FACTS, INSTALL)
