"""Commands about a host itself: where home is, what is there, the audit line, files."""

from __future__ import annotations

from ..errors import Unclear
from ..shell import Command, Question, Secret, Word, look
from . import host


def home() -> Question[str]:
    """The login directory, absolute: asked once, so that every path is absolute from then on."""
    return Question(look("where home is", "pwd", "-P"), _directory)


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


def tidy_runs(directory: str) -> Command:
    """Removes the journals of switches that have ended, those of dead controllers too."""
    script = (
        'k_tidy() { for k_d in "$1"/*/; do [ -d "$k_d" ] || continue; '
        'kill -0 "$(cat "${k_d}pid" 2>/dev/null)" 2>/dev/null || rm -rf -- "$k_d"; done; }'
    )
    return Command(name="tidy up", words=("k_tidy", directory), uses=(script,), may_fail=True)


def switching(directory: str) -> Question[int]:
    """How many switches the host is finishing by itself now."""
    script = (
        'k_switching() { k_n=0; for k_d in "$1"/*/; do [ -d "$k_d" ] || continue; '
        'if kill -0 "$(cat "${k_d}pid" 2>/dev/null)" 2>/dev/null; then k_n=$((k_n + 1)); fi; done; echo "$k_n"; }'
    )
    return Question(look("look at switches", "k_switching", directory, uses=(script,), example="0"), int)


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
