"""A command that lives as long as its connection: it prints as it runs, and the host ends it when nobody is there.

Nothing here may do I/O. Heartbeats come on the session's stdin; where none comes for ``LEASE`` seconds, or stdin ends,
the host ends the whole session by itself: a dead controller leaves no process behind.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator

from .shell import Command, quote

HEARTBEAT = 5.0
LEASE = 20
"""Seconds without a heartbeat after which a host ends what runs for us."""

# The session's shell leads a process group of its own (sshd sees to that): ``kill 0`` ends everything in it.
WATCH = """\
k_beats() { while k_h=$(timeout "$1" head -n 1) && [ -n "$k_h" ]; do :; done; }
k_fall() {
  read -r k_p k_comm k_st k_pp k_g k_rest <"/proc/$$/stat"
  if [ "$k_g" = "$$" ]; then kill 0; else kill "$$"; fi
}"""


def render(command: Command, mark: str, over: Command | None = None, lease: int = LEASE) -> str:
    """The text for a shell whose stdin goes on with heartbeats. What is printed before ``mark`` is a login shell's.

    ``over`` runs when the connection is gone, before everything else is ended. A text that was cut off on its way
    runs nothing.
    """
    uses = dict.fromkeys((*command.uses, *(over.uses if over else ())))
    last = f"( {over.line()}\n) 4<&-; " if over else ""
    lines = (
        "LC_ALL=C; export LC_ALL",
        *uses,
        WATCH,
        "exec 4<&0 </dev/null",
        f"( k_beats {lease}; {last}k_fall ) <&4 4<&- >/dev/null 2>&1 &",
        "k_w=$!; exec 4<&-",
        f"printf '\\n%s\\n' {quote(mark)}; printf '\\n%s\\n' {quote(mark)} >&2",
        f"( {command.line()}\n); k_r=$?",
        "kill $k_w 2>/dev/null; exit $k_r",
    )
    return "k_main() {\n" + "\n".join(lines) + "\n}\nk_main\n"


class AfterMark:
    """One stream's bytes without what came before the mark: what a login shell's own files print."""

    def __init__(self, mark: str) -> None:
        self._mark = f"\n{mark}\n".encode()
        self._before = b"\n"
        self._met = False

    def feed(self, data: bytes) -> bytes:
        """What of ``data`` the command printed."""
        if self._met:
            return data
        self._before += data
        noise, mark, rest = self._before.partition(self._mark)
        self._met = bool(mark)
        self._before = b"" if self._met else noise[-100_000:]
        return rest


class Lines:
    """Bytes in pieces of any size as whole lines of text; a line over ``cap`` bytes is cut into several."""

    def __init__(self, cap: int = 1 << 20) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""
        self._cap = cap

    def feed(self, data: bytes) -> Iterator[str]:
        """The lines that are whole now, without their ends."""
        first, *more = self._decoder.decode(data).split("\n")
        whole = [self._rest + first, *more]
        self._rest = whole.pop()
        yield from whole
        if len(self._rest) > self._cap:
            yield self._rest
            self._rest = ""

    def end(self) -> Iterator[str]:
        """What came after the last line's end."""
        rest = self._rest + self._decoder.decode(b"", final=True)
        self._rest = ""
        if rest:
            yield rest


OnPiece = Callable[[bool, bytes], None]
"""Told of each piece of output: whether it is standard error, and the bytes. It may block: the host then waits."""
