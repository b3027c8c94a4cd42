"""The one small anywidget: draws frames and tables, keeps its progress bar and live region. Offline; imported late.

Without anywidget the same pictures are core ``HTML`` widgets: no search, no sorting, nothing else is missing.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from .frame import Frame, frame_html
from .markup import Html, tag
from .style import CSS, styled
from .tables import say

SCRIPT = Path(__file__).with_name("view.js")


class Picture:
    """A widget that shows frames or HTML. ``on_told`` hears what the page says: that it looks, that it hides."""

    def __init__(self, on_told: Callable[[dict[str, Any]], None] = lambda told: None) -> None:
        self.is_live = True
        self.is_seen = False
        """Whether a page has shown it."""
        self._listeners = [on_told]
        try:
            self.widget = _anywidget()
        except ImportError:
            import ipywidgets

            self.is_live = False
            self.widget = ipywidgets.HTML()
            return
        self.widget.on_msg(lambda _widget, told, _buffers: self._told(told if isinstance(told, dict) else {}))

    def listen(self, on_told: Callable[[dict[str, Any]], None]) -> None:
        """One more that hears what the page says."""
        self._listeners.append(on_told)

    def send(self, question: dict[str, Any]) -> None:
        """Asks the page; its answer is told to every listener."""
        self.widget.send(question)

    def _told(self, told: dict[str, Any]) -> None:
        self.is_seen = self.is_seen or told.get("event") == "looks"
        for listener in self._listeners:
            listener(told)

    def frame(self, shown: Frame) -> None:
        """Draws a frame of a rollout: one message."""
        if self.is_live:
            self.widget.frame = shown
        else:
            self.widget.value = str(styled(frame_html(shown)))

    def line(self, text: str, meaning: str = "") -> None:
        """Shows one sentence, and tells it to screen readers."""
        if self.is_live:
            self.widget.frame = {"kind": "line", "text": text, "tone": meaning}
        else:
            self.widget.value = str(styled(tag("div", say(text, meaning), role="status")))

    def html(self, body: Html, *, tools: bool = False) -> None:
        """Shows HTML; with ``tools`` its tables can be searched and sorted."""
        if self.is_live:
            self.widget.frame = {"kind": "html", "html": str(body), "tools": tools}
        else:
            self.widget.value = str(styled(body))


def mime(widget: Any) -> dict[str, Any]:
    """The forms in which a widget is displayed; some widgets give metadata besides."""
    made = widget._repr_mimebundle_()
    return dict(made[0] if isinstance(made, tuple) else made)


_CLASSES: list[type] = []


def _anywidget() -> Any:
    if not _CLASSES:
        import anywidget
        import traitlets

        class View(anywidget.AnyWidget):  # type: ignore[misc, unused-ignore]
            _esm = SCRIPT.read_text(encoding="utf-8")
            _css = CSS
            frame = traitlets.Dict().tag(sync=True)

        _CLASSES.append(View)
    return _CLASSES[0]()
