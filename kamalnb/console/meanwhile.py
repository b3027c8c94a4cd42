"""A word on a terminal while something takes its time and has no events to tell."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

from .choice import Style, is_terminal


@contextlib.contextmanager
def meanwhile(text: str, style: Style) -> Iterator[None]:
    """Shows ``text`` with a spinner until the block ends, then takes it away; nothing where no person looks on."""
    if style.json or style.quiet or not is_terminal(sys.stdout, os.environ):
        yield
        return
    from rich.console import Console
    from rich.text import Text

    with Console(highlight=False).status(Text(text)):
        yield
