"""How a runbook tells how far it is: lines on standard error, or one JSON document a line on standard output."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Mapping
from typing import Any

from ..wording import seconds

DOING = {"boot": "booting", "deploy": "deploying", "undo": "undoing", "rollback": "rolling back"}


class Telling:
    """Lines for people on standard error; with ``as_json`` documents on standard output, with ``quiet`` the end."""

    def __init__(self, *, as_json: bool = False, quiet: bool = False) -> None:
        self._json = as_json
        self._quiet = quiet
        self._cell = 0

    def cell_started(self, number: int) -> None:
        """A cell begins; ``number`` is the one in its brackets."""
        self._cell = number
        self._document("CellStarted", cell=number)

    def cell_finished(self, number: int, took: float, how: str, plan: Mapping[str, Any] | None) -> None:
        """A cell has ended: ok, failed or stopped; ``plan`` is the one that it made."""
        self._document("CellFinished", cell=number, seconds=round(took, 3), outcome=how, plan=plan)
        made = ""
        if plan:
            many = f"{plan['hosts']} host{'' if plan['hosts'] == 1 else 's'}"
            made = f"  plan {plan['id']}: {many}, {plan['target']}"
        self._line(f"[{number}] {took:.1f} s{made}{'' if how == 'ok' else f'  {how}'}")

    def progress(self, how: Mapping[str, Any]) -> None:
        """How far a rollout is."""
        self._document("RolloutProgressed", cell=self._cell, **how)
        if how["ended"] == how["of"]:
            state = f"{'ended' if how['failed'] else 'done'} {how['ended']}/{how['of']}"
        else:
            doing = "cancelling" if how["cancelling"] else DOING.get(how["verb"], how["verb"])
            state = f"{doing} {how['ended']}/{how['of']} …"
        failed = f", {how['failed']} failed" if how["failed"] else ""
        self._line(f"[{self._cell}] {state}{failed}")

    def note(self, sentence: str) -> None:
        """Something that people should know."""
        self._document("Noted", text=sentence)
        self._line(sentence, always=True)

    def ended(self, code: int, took: float, path: str, sentence: str) -> None:
        """The end: the record's path alone on standard output."""
        self._document("RunbookFinished", exit=code, seconds=round(took, 3), path=path, text=sentence)
        if sentence:
            self._line(sentence, always=True)
        self._line(f"exit {code} after {seconds(took)}", always=True)
        if not self._json:
            with contextlib.suppress(OSError):
                print(path, flush=True)

    def _line(self, text: str, always: bool = False) -> None:
        if not self._json and (always or not self._quiet):
            with contextlib.suppress(OSError):  # a terminal that went away stops no rollout
                print(text, file=sys.stderr, flush=True)

    def _document(self, event: str, **values: Any) -> None:
        if self._json:
            with contextlib.suppress(OSError):
                print(json.dumps({"event": event, **values}, ensure_ascii=False), flush=True)
