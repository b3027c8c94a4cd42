"""Several commands as one framed shell script: one round trip, each step's output and exit code kept.

Nothing here may do I/O. ``render`` writes the text that a constant ``sh -s`` reads on its stdin; ``Frames``
takes what comes back, in pieces of any size, and gives one ``Result`` per step. The whole text is one
shell function, so a script that was cut off on its way runs nothing at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from .shell import Command, Result, quote

REFUSED = 76
"""Exit code of a script whose run does not hold the host's lock any more."""

WORK = 8
"""The descriptor on which a script that changes things holds its run's place, and its steps with it."""

UNKEPT = 73
"""Exit code of a detached script that the host could not keep (no room): nothing of it ran."""

DIED = 70
"""Exit code of a detached script that ended without saying how: it was killed, or its host restarted."""

CUT_OFF = "the connection ended before the host said how it went"


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """Steps that belong together: when one fails, ``undo`` runs, on the host, whatever the controller does."""

    steps: tuple[Command, ...]
    undo: tuple[Command, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """Sections in order; the first step that fails ends it (after that section's ``undo``).

    ``journal`` is a directory on the host: with it, the script is *detached*, and runs to its end there even
    when the connection or the controller dies. ``fence`` is the lock it may only run under: a file and the
    run id that it must hold. As long as it runs, no other run is given that lock (see ``held``).
    """

    sections: tuple[Section, ...]
    journal: str | None = None
    fence: tuple[str, str] | None = None

    @classmethod
    def of(cls, *steps: Command) -> Script:
        """A plain script: these steps, nothing to undo, attached."""
        return cls(sections=(Section(steps=steps),))

    @property
    def commands(self) -> tuple[Command, ...]:
        """Every command of it, undo included, in the order of their frame numbers."""
        return tuple(step for section in self.sections for step in (*section.steps, *section.undo))

    @property
    def order(self) -> tuple[int, ...]:
        """The numbers of its steps, undo left out, in the order in which they run."""
        numbers: list[int] = []
        number = 0
        for section in self.sections:
            numbers += range(number, number + len(section.steps))
            number += len(section.steps) + len(section.undo)
        return tuple(numbers)

    @property
    def changes(self) -> bool:
        """Whether any step changes something."""
        return any(step.changes for step in self.commands)

    @property
    def lasting(self) -> bool:
        """Whether any step changes something that others look at; a pull, say, does not."""
        return any(step.changes and not step.beside for step in self.commands)

    @property
    def held(self) -> str | None:
        """The file that it holds while it runs, shared with others of its run: the next run's lock waits for it."""
        return work_file(self.fence[0]) if self.fence is not None and self.lasting else None

    @property
    def limit(self) -> float:
        """Seconds after which it is given up: the sum of its steps' limits."""
        return sum(step.limit for step in self.commands) + 5.0


def work_file(lock: str) -> str:
    """The file beside a lock file that scripts hold while they change things."""
    return f"{lock.removesuffix('.lock')}.work"


def render(script: Script, mark: str) -> str:
    """The text for ``sh -s``. ``mark`` is a word of letters and digits that no output contains by chance."""
    body = "\n".join([*_definitions(script, mark), *_sections(script), f"k_end {mark} 0"])
    if script.journal is None:
        return f"k_main() {{\n{body}\n}}\neval 'k_main </dev/null'\n"
    return f"k_main() {{\n{_detached(body, script.journal, mark)}\n}}\neval 'k_main </dev/null'\n"


def _definitions(script: Script, mark: str) -> Iterator[str]:
    yield "LC_ALL=C; export LC_ALL"
    yield f'k_mark() {{ printf \'\\n%s %s %s\\n\' {mark} "$1" "$2"; printf \'\\n%s %s %s\\n\' {mark} "$1" "$2" >&2; }}'
    yield 'k_end() { printf \'\\n%s end %s\\n\' "$1" "$2"; printf \'\\n%s end %s\\n\' "$1" "$2" >&2; exit "$2"; }'
    if script.fence is not None:
        path, run_id = script.fence
        if script.held is not None:  # before the comparison: from then on nobody else's id can come into the file
            taken = f"{{ command exec {WORK}<{quote(script.held)} && flock -s {WORK}; }} 2>/dev/null"
            yield f"{taken} || k_end {mark} {REFUSED}"
        yield f"k_have=; read -r k_have <{quote(path)} 2>/dev/null"
        yield f'[ "$k_have" = {quote(run_id)} ] || k_end {mark} {REFUSED}'
    yield from dict.fromkeys(text for step in script.commands for text in step.uses)
    yield f'k_failed() {{ k_end {mark} "$1"; }}'


def _sections(script: Script) -> Iterator[str]:
    number = 0
    for section in script.sections:
        undo_from = number + len(section.steps)
        undo = "".join(_undo(step, undo_from + offset) for offset, step in enumerate(section.undo))
        for step in section.steps:
            yield _step(step, number, undo, script.held is not None)
            number += 1
        number += len(section.undo)


def _step(step: Command, number: int, undo: str, held: bool) -> str:
    # What may go on beside others may also leave things running there: a credential helper's agent.
    apart = f" {WORK}<&-" if held and step.beside else ""
    stop = "" if step.may_fail else f"\n[ $k_r -eq 0 ] || {{ {undo}k_failed $k_r; }}"
    return f"( {step.line()}\n) </dev/null{apart}; k_r=$?; k_mark {number} $k_r{stop}"


def _undo(step: Command, number: int) -> str:
    return f"( {step.line()}\n) </dev/null; k_mark {number} $?; "


def mark_of(script: Script, fresh: str) -> str:
    """The mark to render ``script`` with: ``fresh``, but a detached one keeps its own, so that it can be met again."""
    return fresh if script.journal is None else f"kamalnb-{script.journal.rpartition('/')[2]}"


def _detached(body: str, journal: str, mark: str) -> str:
    """The body runs from a file in a session of its own; the attached shell only repeats what it prints.

    Sent a second time (the reply was lost), the script finds its journal and is followed, not started again.
    """
    return "\n".join(
        (
            f"k_d={quote(journal)}",
            f"k_not='\\n{mark} end {UNKEPT}\\n'",
            f'k_unkept() {{ rm -rf -- "$k_d"; printf "$k_not"; printf "$k_not" >&2; exit {UNKEPT}; }}',
            'umask 077; mkdir -p "${k_d%/*}"',
            'if mkdir "$k_d" 2>/dev/null; then',
            # Not “:”: a redirection that fails ends the whole shell at a special builtin.
            '{ printf "" >"$k_d/out" && printf "" >"$k_d/err" && printf "" >"$k_d/pid"; } 2>/dev/null || k_unkept',
            f"printf '%s\\n' {quote(body)} 2>/dev/null >\"$k_d/script\" || k_unkept",
            "k_own=setsid; command -v setsid >/dev/null 2>&1 || k_own=nohup",
            '$k_own sh "$k_d/script" </dev/null >"$k_d/out" 2>"$k_d/err" &',
            'echo $! >"$k_d/pid"',
            "fi",
            '[ -e "$k_d/out" ] || k_unkept',
            'tail -n +1 -f "$k_d/out" & k_t1=$!',
            'tail -n +1 -f "$k_d/err" >&2 & k_t2=$!',
            # A journal that was taken away tells no process: “none” is one for no shell, “” is one for busybox.
            'while k_p=$(cat "$k_d/pid" 2>/dev/null); kill -0 "${k_p:-none}" 2>/dev/null; do sleep 0.5; done',
            "sleep 1.5; kill $k_t1 $k_t2 2>/dev/null",
            f"k_died='\\n{mark} end {DIED}\\n'",
            f'grep -q "^{mark} end " "$k_d/out" || {{ printf "$k_died"; printf "$k_died" >&2; }}',
        )
    )


def refused(command: Command, code: int = REFUSED) -> Result:
    """How the first step of a script ends that the host did not run: no lock any more, or no room to keep it."""
    why = "this run does not hold the lock any more" if code == REFUSED else "no room on the host to keep the script"
    return Result(name=command.name, line=str(command), exited=code, stderr=why)


class Frames:
    """Reads what a rendered script prints, and tells each step's ``Result`` as soon as it is known.

    ``now`` is any clock in seconds; ``on_result`` is called once per finished step, ``on_line`` for each whole
    line of a running step's standard output.
    """

    def __init__(
        self,
        script: Script,
        mark: str,
        now: Callable[[], float],
        on_result: Callable[[int, Result], None] = lambda number, result: None,
        on_line: Callable[[int, str], None] = lambda number, line: None,
    ) -> None:
        self._commands = script.commands
        self._now = now
        self._on_result = on_result
        self._on_line = on_line
        self._out = _Stream(mark)
        self._err = _Stream(mark)
        self._out_frames: dict[int, tuple[str, int, float]] = {}  # number: output, exit code, seconds
        self._err_frames: dict[int, str] = {}
        self._since = now()
        self._told: set[int] = set()
        self._last_words = ""
        self.exited: int | None = None
        """The script's own exit code; None until its last line was read."""

    def out(self, text: str) -> None:
        """Takes a piece of standard output."""
        for lines, mark in self._out.feed(text):
            current = self._current()
            for line in lines:
                if line:
                    self._on_line(current, line)
            if mark is None:
                continue
            if mark.number is None:
                self.exited = mark.code if self.exited is None else self.exited
                self._last_words = mark.content
                continue
            before, self._since = self._since, self._now()
            self._out_frames[mark.number] = (mark.content, mark.code, self._since - before)
            self._tell(mark.number)

    def err(self, text: str) -> None:
        """Takes a piece of standard error."""
        for _lines, mark in self._err.feed(text):
            if mark is not None and mark.number is not None:
                self._err_frames[mark.number] = mark.content
                self._tell(mark.number)

    @property
    def done(self) -> bool:
        """The last line of both streams was read: nothing more is to come."""
        return self._out.ended and self._err.ended

    def results(self) -> tuple[Result, ...]:
        """What is known now: the finished steps, then the one that was cut off, if any, with no exit code.

        A script that its host refused (``REFUSED``, ``UNKEPT``) has one result that says so, for its first step; one
        that was ended from outside has ``DIED`` for the step at hand.
        """
        known = [self._result(number) for number in sorted(self._out_frames)]
        if self.exited is None and len(known) < len(self._commands):
            known.append(self._cut_off())
        if self.exited == DIED:
            said = self._last_words.strip("\n")
            known.append(replace(self._cut_off(), exited=DIED, stdout=said, stderr="it was ended from outside"))
        if self.exited in (REFUSED, UNKEPT) and not known:
            known.append(refused(self._commands[0], self.exited))
        return tuple(known)

    def _tell(self, number: int) -> None:
        if number in self._out_frames and number in self._err_frames and number not in self._told:
            self._told.add(number)
            self._on_result(number, self._result(number))

    def _current(self) -> int:
        return max(self._out_frames, default=-1) + 1

    def _result(self, number: int) -> Result:
        command = self._commands[number]
        stdout, code, seconds = self._out_frames[number]
        stderr = self._err_frames.get(number, "")
        return Result(name=command.name, line=str(command), exited=code, stdout=stdout, stderr=stderr, seconds=seconds)

    def _cut_off(self) -> Result:
        command = self._commands[min(self._current(), len(self._commands) - 1)]
        partial = self._err.pending() or CUT_OFF
        return Result(name=command.name, line=str(command), exited=None, stdout=self._out.pending(), stderr=partial)


@dataclass(frozen=True, slots=True)
class _Mark:
    """A mark line: the step's number (None: the script's end), its exit code, and what was printed before it."""

    number: int | None
    code: int
    content: str


class _Stream:
    """One stream cut into frames at its mark lines. Linear in what it is fed, however long a line grows."""

    def __init__(self, mark: str) -> None:
        self._mark = f"{mark} "
        self._rest: list[str] = []  # pieces of a line whose end has not come
        self._lines: list[str] = []
        self.ended = False

    def feed(self, text: str) -> Iterator[tuple[list[str], _Mark | None]]:
        """Whole lines that came, each batch with the mark that followed it, if one did."""
        first, newline, more = text.partition("\n")
        self._rest.append(first)
        if not newline:
            return
        whole = ["".join(self._rest), *more.split("\n")]
        self._rest = [whole.pop()]
        begun = 0
        for at in self._marks(whole, text):
            self._lines += whole[begun:at]
            yield whole[begun:at], self._close(whole[at])
            begun = at + 1
        self._lines += whole[begun:]
        yield whole[begun:], None

    def _marks(self, whole: list[str], text: str) -> list[int]:
        """Which lines are marks. Most pieces hold none: then their lines are not looked at one by one."""
        if self._mark not in text and not whole[0].startswith(self._mark):
            return []
        return [at for at, line in enumerate(whole) if line.startswith(self._mark)]

    def _close(self, line: str) -> _Mark:
        _mark, number, code = line.split(" ")
        content = "\n".join(self._lines)
        self._lines.clear()
        self.ended = self.ended or number == "end"
        return _Mark(None if number == "end" else int(number), int(code), content)

    def pending(self) -> str:
        """What came after the last mark."""
        return "\n".join([*self._lines, "".join(self._rest)]).strip("\n")
