"""Commands about a host itself: where home is, what is there, the audit line, files."""

from __future__ import annotations

from ..errors import Unclear
from ..shell import Command, Question, Secret, Word, look
from . import host


def home() -> Question[str]:
    """The login directory, absolute: asked once, so that every path is absolute from then on."""
    return Question(look("where home is", "pwd", "-P"), _directory)


def clock() -> Question[float]:
    """Seconds since 1970 by the host's clock, which may differ from ours: its own times are measured by it."""
    return Question(look("clock", "date", "+%s"), float)


def tool() -> Question[str | None]:
    """The first program on the host that can fetch an address."""
    script = (
        'k_tool() { for k_t in "$@"; do command -v "$k_t" >/dev/null 2>&1 && { echo "$k_t"; break; }; done; return 0; }'
    )
    return Question(look("find a fetch tool", "k_tool", *host.HOST_TOOLS, uses=(script,)), _one_tool)


def write_file(path: str, content: Word, name: str = "write file") -> Command:
    """Writes a file that only its owner can read, in one instant: a broken upload leaves the old one."""
    return Command(name=name, words=("k_write", path), stdin=content, uses=(host.WRITE,))


def touch_env_file(path: str) -> Command:
    """Makes an empty env file where there is none, so that ``--env-file`` finds one."""
    return Command(
        name="env file",
        words=("k_touch", path),
        uses=('k_touch() { [ -e "$1" ] || { umask 077; mkdir -p "${1%/*}" && : >"$1"; }; }',),
    )


def audit(path: str, tags: tuple[str, ...], text: str) -> Command:
    """One line in Kamal's audit log: the host's time, the tags, the text. A full disk must not stop a boot here."""
    line = "".join(f" [{tag}]" for tag in tags if tag) + f" {text}"
    printable = "".join(c if c.isprintable() else "?" for c in line)[:2000]
    return Command(name="audit", words=("k_audit", path, printable), uses=(host.WRITE,), may_fail=True)


def audit_path(service: str, destination: str | None, run_directory: str) -> str:
    """Kamal's audit file on the host."""
    return f"{run_directory}/{'-'.join(filter(None, (service, destination)))}-audit.log"


# A journal without a process is one that is being made at this moment, for another role of the run; or its maker died.
RUNS = """\
k_runs() { k_p=$(cat "$1/pid" 2>/dev/null); kill -0 "${k_p:-none}" 2>/dev/null; }
k_tidy() {
  for k_d in "$1"/*/; do
    if [ ! -d "$k_d" ] || k_runs "$k_d"; then continue; fi
    [ -n "$k_p" ] || [ -z "$(find "$k_d" -prune -mmin -1)" ] || continue
    rm -rf -- "$k_d"
  done
}
k_forget() { for k_d in "$@"; do k_runs "$k_d" || rm -rf -- "$k_d"; done; }
k_count() {
  k_n=0
  for k_d in "$2"/*/; do
    [ -d "$k_d" ] || continue
    if k_runs "$k_d"; then k_s='running'; else k_s='ended'; fi
    [ $k_s != "$1" ] || k_n=$((k_n + 1))
  done
  echo "$k_n"
}"""


def tidy_runs(directory: str) -> Command:
    """Removes the journals of scripts that have ended, those of dead controllers too. Under the lock: nobody else's
    script would be met again."""
    return Command(name="tidy up", words=("k_tidy", directory), uses=(RUNS,), may_fail=True)


def forget(journals: tuple[str, ...]) -> Command:
    """Removes a run's own journals, which only that run would meet again: it needs no lock for it."""
    return Command(name="forget journals", words=("k_forget", *journals), uses=(RUNS,), may_fail=True)


def ended(directory: str) -> Question[int]:
    """How many journals of scripts that have ended lie there."""
    return Question(look("look for journals", "k_count", "ended", directory, uses=(RUNS,), example="0"), int)


def switching(directory: str) -> Question[int]:
    """How many switches the host is finishing by itself now."""
    return Question(look("look at switches", "k_count", "running", directory, uses=(RUNS,), example="0"), int)


def env_text(values: dict[str, Secret]) -> Secret:
    """Secrets as Docker's ``--env-file`` wants them: as they are, one a line."""
    return Secret("".join(f"{key}={value.value}\n" for key, value in values.items()))


def _directory(text: str) -> str:
    """An absolute path on one line: anything else would put our files somewhere else."""
    path = text.strip("\n")
    if not path.startswith("/") or not path.isprintable():
        raise Unclear("where home is", text, "not an absolute path")
    return path


def _one_tool(text: str) -> str | None:
    name = text.strip()
    if name and name not in host.HOST_TOOLS:
        raise Unclear("find a fetch tool", text, "not one of the tools")
    return name or None
