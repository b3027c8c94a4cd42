"""A table that asks again and again: one question at a time, none while nobody looks, a static table at the end."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import ipywidgets

from ..errors import KamalnbError
from ..wording import seconds
from .grid import Grid, changed, clock, grid
from .markup import Html, joined
from .occasion import cell
from .settings import options
from .style import styled
from .tabled import MOST, bundle
from .tables import lines, say, table_html
from .view import _button, _row
from .widget import Picture, mime

if TYPE_CHECKING:
    import pandas as pd

_ASKING = threading.Lock()
"""One question at a time in this process, however many tables there are."""
_GOING: dict[str, Refreshed] = {}
"""What goes on now, by what it asks: running a cell again takes the place of its table, never doubles it."""


class Refreshed:
    """A table that refreshes until it is stopped. ``stop()`` from anywhere; the cell keeps the last table then."""

    def __init__(self, ask: Callable[[], pd.DataFrame], every: float, *, wide: bool = False) -> None:
        self._ask = ask
        self._every = every
        self._wide = wide
        self._grid: Grid | None = None
        self._before: Grid | None = None
        self._said: Html = joined("")
        self._wake = threading.Condition()
        self._asked = False
        self._visible: dict[str, bool] = {}
        self.stopped = False
        self._handles: list[Any] = []
        self._cell = ""
        self._picture = Picture(self._told)
        self._stop = _button("Stop", "", self.stop)
        self._again = _button("Refresh", "", self.refresh)
        self._state = ipywidgets.HTML()
        self.widget = ipywidgets.VBox([_row(self._again, self._stop, self._state), self._picture.widget])
        name = f"{getattr(ask, '__self__', '')!r}.{getattr(ask, '__qualname__', repr(ask))}"
        if (other := _GOING.pop(name, None)) is not None:
            other.stop()
        _GOING[name] = self
        threading.Thread(target=self._run, name="kamalnb-refresh", daemon=True).start()

    def refresh(self) -> None:
        """Asks now."""
        with self._wake:
            self._asked = True
            self._wake.notify_all()

    def stop(self) -> None:
        """Asks no more; the table stays as it is."""
        with self._wake:
            self.stopped = True
            self._wake.notify_all()

    def _run(self) -> None:
        until = time.monotonic() + options.refresh_limit
        while not self.stopped and time.monotonic() < until:
            try:
                with _ASKING:
                    self._take(grid(self._ask(), wide=self._wide))
            except KamalnbError as error:
                self._said = say(f"It stopped: {error}", "bad")
                break
            except Exception as error:
                self._said = say(f"It stopped, for a defect: {error!r}", "bad")
                break
            self._pause()
        self._end()

    def _take(self, new: Grid) -> None:
        marked = changed(self._grid, new) if self._grid is not None else new
        self._grid = new
        self._before = marked
        self._picture.html(table_html(marked, limit=MOST), tools=True)
        self._state.value = str(say(f"refreshed at {clock(time.time())}, every {seconds(self._every)}"))

    def _pause(self) -> None:
        with self._wake:
            self._wake.wait_for(lambda: self._asked or self.stopped, self._every)
            if not self._is_seen():
                self._state.value = str(say("paused: nobody looks at it"))
                self._wake.wait_for(lambda: self._asked or self.stopped or self._is_seen())
            self._asked = False

    def _is_seen(self) -> bool:
        return any(self._visible.values()) or not self._visible

    def _told(self, told: dict[str, Any]) -> None:
        if told.get("event") == "looks":
            with self._wake:
                self._visible[str(told.get("page"))[:20]] = bool(told.get("visible"))
                self._wake.notify_all()

    def _end(self) -> None:
        self.stopped = True
        for name in [name for name, one in _GOING.items() if one is self]:
            _GOING.pop(name, None)
        self._picture.html(self._body(), tools=True)
        self._state.value = str(self._said or say("stopped"))
        self._again.disabled = self._stop.disabled = True
        for handle in self._handles:
            self._keep(handle)

    def _keep(self, handle: Any) -> None:
        with contextlib.suppress(Exception):
            handle.update(self._static(), raw=True)

    def _body(self) -> Html:
        made = self._before
        return joined(self._said, table_html(made, limit=MOST) if made is not None else "")

    def _static(self) -> dict[str, Any]:
        if self._before is None:
            return {"text/html": str(styled(self._said)), "text/plain": "nothing was answered"}
        body = joined(self._said, table_html(self._before))
        return {**bundle(self._before), "text/html": str(styled(body))}

    def _ipython_display_(self) -> None:
        from IPython.display import display

        here = cell()
        if here and here == self._cell:
            return
        self._cell = here
        if self.stopped:
            display(self._static(), raw=True)  # type: ignore[no-untyped-call]
            return
        self._show_live()

    def _show_live(self) -> None:
        from IPython.display import display

        shown = {**mime(self.widget), "text/plain": repr(self), "text/html": str(self._saved())}
        handle = display(shown, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        if handle is None:
            return
        self._handles.append(handle)
        if self.stopped:  # it ended while it was displayed, and may have told the others already
            self._keep(handle)

    def _saved(self) -> Html:
        return say("This table was refreshing when it was saved. Run the cell to see it again.")

    def __repr__(self) -> str:
        told = "\n".join(lines(self._before)) if self._before is not None else "not answered yet"
        return f"{told}\n({'stopped' if self.stopped else f'every {seconds(self._every)}'})"
