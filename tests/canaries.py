"""Secrets that can be found again: how each may be spelled where it leaks, and everything that people see of a run."""

from __future__ import annotations

import base64
import io
import json
import shlex
import traceback
import urllib.parse
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from kamalnb.console.choice import Style
from kamalnb.console.dry import DryRun
from kamalnb.console.jsonlines import JsonLines
from kamalnb.console.plain import PlainLines
from kamalnb.console.summary import summary
from kamalnb.report import Report

MARK = "c4n4ry-s1ngs"
"""How each begins: found wherever it was cut off, and where one spelling is inside of another."""


def canary(number: int, name: str) -> str:
    """A secret with everything in it that some writer spells in a way of its own."""
    return f"{MARK} '{number}' \"{name.lower()}\" $x\\é/+&?"


def encodings(secret: str) -> Iterator[str]:
    """How a secret may look where it leaks: as it is, and as six writers spell it."""
    yield secret
    data = secret.encode()
    for shift in range(3):  # base64 of it in the middle of something else
        coded = base64.b64encode(b"x" * shift + data).decode()
        yield coded[4 * bool(shift) : len(coded) - 4]
    yield data.hex()
    yield urllib.parse.quote(secret)
    yield urllib.parse.quote_plus(secret)
    yield shlex.quote(secret)
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    yield repr(secret)[1:-1]


def needles(secrets: Iterable[str]) -> tuple[str, ...]:
    """All that is looked for."""
    return tuple(dict.fromkeys(form for secret in (*secrets, MARK) for form in encodings(secret)))


def sung(text: str, looked_for: tuple[str, ...]) -> str:
    """Where a canary sings, with what is around it; empty where none does."""
    at = next((text.find(needle) for needle in looked_for if needle in text), -1)
    return text[max(0, at - 160) : at + 80] if at >= 0 else ""


def seen_of(rollout: Any, *tests: str) -> str:
    """Everything that anybody could see of a rollout: events, lines, tables, errors. ``tests`` as for ``raised``."""
    out, dry, lines = io.StringIO(), io.StringIO(), io.StringIO()
    shows = (
        PlainLines(out, Style(verbose=True), datetime(2026, 1, 1)),
        DryRun(dry, Style(verbose=True), False),
        JsonLines(lines),
    )
    report, seen = Report(), []
    for event in rollout:
        report = report.after(event)
        seen += [repr(event), str(event), json.dumps(event.as_dict(), default=str)]
        for show in shows:
            show.show(event, report)
    for show in shows:
        show.leave(report)
        show.close(report)
    seen += [out.getvalue(), dry.getvalue(), lines.getvalue(), summary(report), repr(report), repr(rollout)]
    return "\n".join([*seen, *raised(rollout.wait, __file__, *tests)])


def raised(call: Any, *tests: str) -> Iterator[str]:
    """Every way to see what ``call`` raises: text, repr, tracebacks, and IPython's with the values of all variables.

    Frames of the files ``tests`` say nothing: they know the canaries.
    """
    from IPython.core.ultratb import VerboseTB

    try:
        call()
    except BaseException as error:
        yield str(error) + repr(error) + "".join(traceback.format_exception(error))
        below = error.__traceback__
        while below is not None and below.tb_frame.f_code.co_filename in (__file__, *tests):
            below = below.tb_next
        if below is not None:
            yield VerboseTB(theme_name="nocolor", include_vars=True).text(type(error), error, below)
        with_cause = error
        while with_cause is not None:
            yield repr(vars(with_cause))
            with_cause = with_cause.__cause__ or with_cause.__context__  # type: ignore[assignment]
