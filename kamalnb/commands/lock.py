"""The lock: a session on each host holds a kernel lock on a file that bears the run's id. Nothing here may do I/O.

A session that ends, for whatever reason, frees it: nobody cleans up by hand. Kamal's own lock directories are made and
honoured too, and removed by the session's trap. ``read -t`` is not in dash, hence ``timeout … head``, and neither of
those may inherit the lock: busybox leaves a timer behind that would hold it.

A run that lost its lock may have left a script at work on the host: the one that finishes a switch, or one whose
controller died. Each holds the work file, shared, for as long as it changes things (``Script.held``). A new session
takes that file for itself before it writes its run's id, and lets it go at once: so nobody is given the lock beside
somebody who is still writing, and who begins later meets the new id.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass

from ..config.model import Config
from ..errors import CannotLock, LockHeld, StillAtWork, Unclear
from ..script import work_file
from ..shell import Command, Question, look

HELD = 75
UNWRITABLE = "in the run directory of the login user; look there with df -i and ls -ld"
LEASE = 15.0
"""Seconds without a heartbeat after which a host takes its lock back."""
HEARTBEAT = 5.0

# The wait for the work file is a short one: while it lasts, nobody sees stdin end. Who wants to wait longer asks again.
HOLD = """\
umask 077; mkdir -p "$1/locks" || exit 73
command exec 9>>"$2" || exit 73
command -v flock >/dev/null 2>&1 || exit 72
flock -n 9 || { printf 'ours\\n'; cat "$2"; exit 75; }
k_work=${2%.lock}.work; k_i=0
command exec 8>>"$k_work" || exit 73
until flock -n 8; do
  k_i=$((k_i + 1)); [ $k_i -lt 10 ] || { printf 'work\\n'; cat "$k_work"; exit 75; }
  sleep 0.1
done
k_free() { trap - EXIT; [ -z "$k_mine" ] || rm -rf -- "$5" "$6"; : >"$2"; }
[ ! -e "$9" ] || { printf 'person\\n'; cat "$9"; exit 75; }
k_mine=
if [ "$5" != - ]; then
  for k_d in "$5" "$6"; do
    if [ -d "$k_d" ] && ! base64 -d "$k_d/details" 2>/dev/null | grep -q '^Message: kamalnb '; then
      printf 'kamal\\n'; cat "$k_d/details" 2>/dev/null; exit 75
    fi
  done
  rm -rf -- "$5" "$6"; mkdir "$5" || exit 73
  mkdir "$6" || { rm -rf -- "$5"; exit 73; }
  k_mine=1; for k_d in "$5" "$6"; do printf '%s\\n' "$7" >"$k_d/details"; done
fi
trap 'k_free "$@"' EXIT
trap 'exit 0' HUP INT TERM PIPE
for k_f in "$2" "$k_work"; do printf '%s\\n%s\\n' "$3" "$8" >"$k_f"; done
exec 8>&-
printf 'held\\n'
while k_h=$(exec 9>&-; timeout "$4" head -n 1) && [ -n "$k_h" ]; do :; done"""


# k_lock LOCK WORK PERSON KAMAL...: who holds what. Looking must not take it, not even for a moment: a deploy would be
# refused then. So the kernel's own list is read, where the file's inode tells. A host that is itself a container lists
# no lock whose taker has ended (the program flock has): there it counts who has the file open as descriptor $2.
STATE = """\
k_locked() {
  [ -s "$1" ] || return 1
  k_i=$(ls -i "$1") && k_i=${k_i%% *}
  ! grep -q "FLOCK .*:$k_i " /proc/locks 2>/dev/null || return 0
  k_p=$(cd "$(dirname "$1")" && pwd -P)/${1##*/}
  # shellcheck disable=SC2010
  ls -l /proc/[0-9]*/fd/"$2" 2>/dev/null | grep -qF -- "-> $k_p"
}
k_lock() {
  if k_locked "$1" 9; then echo 'held'; sed 's/^/ /' "$1"
  elif k_locked "$2" 8; then echo 'work'; sed 's/^/ /' "$2"; fi
  if [ -e "$3" ]; then echo 'person'; sed 's/^/ /' "$3"; fi
  shift 3
  for k_d in "$@"; do [ ! -d "$k_d" ] || { echo 'kamal'; sed 's/^/ /' "$k_d/details" 2>/dev/null; }; done
  return 0
}"""

PERSON = """\
k_person() {
  umask 077; mkdir -p "$3/locks" || exit 73
  k_p=$1; k_line=$2; k_details=$4; shift 4
  for k_d in "$@"; do [ ! -d "$k_d" ] || { base64 -d "$k_d/details" 2>/dev/null | tr '\\n' ' '; exit 75; }; done
  (set -C; printf '%s\\n' "$k_line" >"$k_p") 2>/dev/null || { cat "$k_p"; exit 75; }
  for k_d in "$@"; do mkdir "$k_d" && printf '%s\\n' "$k_details" >"$k_d/details"; done
}
k_unperson() {
  k_mine=; [ ! -e "$1" ] || { k_mine=yes; cat "$1"; rm -f "$1"; }
  shift
  for k_d in "$@"; do
    [ -d "$k_d" ] || continue
    k_said=$(base64 -d "$k_d/details" 2>/dev/null | tr '\\n' ' ')
    # A run of ours made it: it goes when the run ends.
    case "$k_mine $k_said" in " "*"Message: kamalnb "*) continue ;; esac
    [ -n "$k_mine" ] || printf '%s\\n' "$k_said"
    rm -rf -- "$k_d"
  done
}"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """Who holds a host: a run (freed with its session), ``work`` that one left there (until it is done), a person
    (until it is released), Kamal. Empty: nobody."""

    run: str = ""
    work: str = ""
    person: str = ""
    kamal: str = ""

    @property
    def sentence(self) -> str:
        """In one sentence; empty where nobody holds it."""
        if self.run:
            return f"A run holds the lock ({self.run})."
        if self.work:
            return f"A script of a run that has ended is still at work ({self.work})."
        if self.person:
            return f"Locked by a person ({self.person})."
        return f"Kamal holds the lock ({self.kamal})." if self.kamal else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Who wants the lock, for which run, and why; ``when`` is ISO 8601 in UTC."""

    run_id: str
    who: str
    when: str
    version: str
    why: str

    @property
    def line(self) -> str:
        """The claim for people, one line."""
        return _one_line(f"{self.who} since {self.when}: {self.why} {self.version}")


def path(config: Config) -> str:
    """The file that is locked; it stays, since a removed one could be locked twice. Relative to the login directory."""
    return f"{config.run_directory}/kamalnb-{_name(config)}.lock"


def person_path(config: Config) -> str:
    """The file of a lock that a person holds: nothing but ``lock.release`` takes it away."""
    return f"{config.run_directory}/kamalnb-{_name(config)}.held"


def state(config: Config) -> Question[Lock]:
    """Who holds the lock on a host."""
    words = ("k_lock", path(config), work_file(path(config)), person_path(config), *_kamals(config))
    return Question(look("look at lock", *words, uses=(STATE,)), _state)


def acquire(config: Config, claim: Claim) -> Command:
    """Takes the lock for a person; ends with 75, and prints who has it, where somebody has it already."""
    words = (
        "k_person", person_path(config), claim.line, config.run_directory, _details(claim), *_kamals(config),
    )  # fmt: skip
    return Command(name="acquire lock", words=words, uses=(PERSON,))


def release(config: Config) -> Command:
    """Takes a person's lock and Kamal's away; prints whose they were."""
    words = ("k_unperson", person_path(config), *_kamals(config))
    return Command(name="release lock", words=words, uses=(PERSON,))


def hold(config: Config, claim: Claim, *, primary: bool, lease: float = LEASE) -> Command:
    """The command of a lock session. It prints ``held`` and lives as long as heartbeats come on its stdin."""
    directory = config.run_directory
    kamal = _kamals(config) if primary else ("-", "-")
    person = person_path(config) if primary else "-"
    words = (directory, path(config), claim.run_id, f"{lease:g}", *kamal, _details(claim), claim.line, person)
    return Command(name="hold lock", words=("sh", "-c", HOLD, "kamalnb-lock", *words))


def refusal(host: str, printed: str, exited: int | None) -> LockHeld | CannotLock | Unclear:
    """What a session that was not given the lock says, as an error."""
    kind, _, rest = printed.strip().partition("\n")
    if exited is None:
        return CannotLock(f"{host} was lost, or took too long, before it said whether it gives its lock. Run it again.")
    if exited == HELD and kind == "ours":
        lines = rest.splitlines()
        holder = lines[1] if len(lines) > 1 else "another run"
        return LockHeld(f"Another deploy is under way on {host} ({holder}). Wait until it ends, then try again.")
    if exited == HELD and kind == "work":
        holder = (rest.splitlines()[1:2] or ["a run that has ended"])[0]
        return StillAtWork(
            f"A script of another run is still at work on {host} ({holder}); the host finishes it by itself. "
            "Wait until it has ended, then try again."
        )
    if exited == HELD and kind == "kamal":
        return LockHeld(f"Kamal holds the lock on {host} ({_kamal(rest)}). Wait, or release it: kamal lock release.")
    if exited == HELD and kind == "person":
        holder = " ".join(rest.split())
        return LockHeld(f"{host} is locked by a person ({holder}). Ask them, or release it: invoke lock.release")
    if exited == 0 and printed.startswith("held"):
        return LockHeld(
            f"{host} took the lock back before this run had it everywhere: no heartbeat came in time. Try again."
        )
    if exited == 73:
        said = f" ({_one_line(printed)})" if printed.strip() else ""
        return CannotLock(f"{host} has no room or no right to write its lock file, {UNWRITABLE}{said}.")
    if exited == 72:
        return CannotLock(f"{host} has no flock: install util-linux there.")
    return Unclear("hold lock", printed, f"exit code {exited} on {host}")


def _kamals(config: Config) -> tuple[str, str]:
    """Kamal's lock directories: those of 1.5 and newer, and of the versions before."""
    return f"{config.run_directory}/locks/{_name(config)}", f"{config.run_directory}/lock-{config.service}"


def _state(text: str) -> Lock:
    """Raises ``Unclear`` through its question for a word that the script cannot have printed."""
    found: dict[str, list[str]] = {}
    kind = ""
    for line in text.splitlines():
        if line.startswith(" "):
            found[kind].append(line[1:])
        elif line in ("held", "work", "person", "kamal"):
            found.setdefault(kind := line, [])
        elif line:
            raise Unclear("look at lock", text, "not a lock")
    held, work = found.get("held", []), found.get("work", [])
    kamal = _kamal("".join(found.get("kamal", ()))) if "kamal" in found else ""
    # A run of ours makes Kamal's directory too: it is no lock besides its own.
    return Lock(
        run=held[1] if len(held) > 1 else "a run" if held else "",
        work=work[1] if len(work) > 1 else "a run" if work else "",
        person=" ".join(found.get("person", ())),
        kamal="" if "Message: kamalnb " in kamal else kamal,
    )


def _name(config: Config) -> str:
    return "-".join(filter(None, (config.service, config.destination)))


def _details(claim: Claim) -> str:
    """Kamal's three lines in base64 (its ``lock status`` shows them)."""
    who, version, why = _one_line(claim.who), _one_line(claim.version), _one_line(claim.why)
    text = f"Locked by: {who} at {claim.when}\nVersion: {version}\nMessage: kamalnb {why}"
    return base64.b64encode(text.encode()).decode()


def _one_line(text: str) -> str:
    """What people wrote, on one line: nothing of it may look like another line, nor steer a terminal."""
    return "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))


def _kamal(details: str) -> str:
    try:
        return "; ".join(base64.b64decode(details, validate=False).decode().splitlines()) or "no details"
    except ValueError:
        return "details that cannot be read"
