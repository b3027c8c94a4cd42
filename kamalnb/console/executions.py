"""What a command of a person's own prints on many hosts: each line with its host, or, raw, as it is."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Generator

from .. import exits
from ..executing import Executed, Execution, Output
from ..live import Lines
from ..wording import clean, seconds
from .choice import Style
from .jsonlines import as_json
from .logs import RED, Places, places
from .streams import gone


def show_execution(execution: Execution, style: Style, *, raw: bool = False) -> int:
    """Shows it to its end; Ctrl-C ends it everywhere. The exit code: with ``raw`` and one host the command's own."""
    printed = _raw(execution) if raw else _lines(execution, style)
    try:
        with gone(), contextlib.closing(printed):
            for _ in printed:
                pass
    except KeyboardInterrupt:
        return exits.STOPPED
    for result in execution.results:
        _end(result, style, raw)
    return _code(execution.results, raw)


def as_record(result: Executed) -> dict[str, object]:
    """How it ended, for programs."""
    return {
        "host": result.host, "role": result.role, "version": result.version, "container": result.container,
        "exited": result.exited, "problem": result.problem, "seconds": round(result.seconds, 3),
    }  # fmt: skip


def _raw(execution: Execution) -> Generator[None, None, None]:
    for piece in execution:
        stream = sys.stderr.buffer if piece.error else sys.stdout.buffer
        stream.write(piece.data)
        stream.flush()
        yield


def _lines(execution: Execution, style: Style) -> Generator[None, None, None]:
    where = places([one.host for one in execution.asked], _roles(execution), style)
    halves: dict[tuple[str, str, bool], Lines] = {}
    try:
        for piece in execution:
            lines = halves.setdefault((piece.host, piece.role, piece.error), Lines())
            for line in lines.feed(piece.data):
                _print(piece, line, where, style)
            yield
    finally:
        for (host, role, error), lines in halves.items():
            for line in lines.end():
                _print(Output(host=host, role=role, error=error, data=b""), line, where, style)


def _roles(execution: Execution) -> list[str]:
    """Roles are named where a host has several of them here."""
    return [one.role.name for one in execution.asked] if execution.reuses else []


def _print(piece: Output, line: str, where: Places, style: Style) -> None:
    if style.json:
        told = {"host": piece.host, "role": piece.role, "stream": "stderr" if piece.error else "stdout"}
        print(as_json({**told, "line": line}), flush=True)
        return
    out = sys.stderr if piece.error else sys.stdout
    print(f"{where.prefix(piece.host, piece.role)}{clean(line)}", file=out, flush=True)


def _end(result: Executed, style: Style, raw: bool) -> None:
    if style.json:
        print(as_json(as_record(result)), flush=True)
    elif not result.ok:
        if not raw or result.exited is None or result.error is not None:
            where = places([result.host], [], style, sys.stderr)
            text = where.painted(f"✗ {result.host}: {clean(style.called.spelled(result.problem))}", RED)
            print(text, file=sys.stderr, flush=True)
    elif style.verbose:
        print(f"✓ {result.host}: exit code 0 after {seconds(result.seconds)}", file=sys.stderr, flush=True)


def _code(results: tuple[Executed, ...], raw: bool) -> int:
    if raw and len(results) == 1 and results[0].exited is not None:
        return results[0].exited
    if results and all(result.ok for result in results):
        return exits.OK
    errors = [result.error for result in results]
    if errors and all(error is not None and error.exit_code == exits.UNREACHABLE for error in errors):
        return exits.UNREACHABLE
    return exits.FAILED
