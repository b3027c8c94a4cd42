"""Who did what when: a bar for each role on each host, its phases side by side, as inline SVG and as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from .. import events
from ..events import Phase
from ..report import Line
from ..wording import change, counted, phase, seconds, title
from .frame import busiest
from .history import History, Span
from .markup import Html, joined, tag
from .style import styled

GROUPS: Mapping[str, tuple[Phase, ...]] = {
    "before the start": (Phase.OBSERVE, Phase.PREPARE),
    "new one starts, dark": (Phase.START, Phase.VERIFY, Phase.READY),
    "switch": (Phase.SWITCH,),
    "watched": (Phase.SOAK,),
    "old one leaves": (Phase.COMMIT, Phase.DRAIN, Phase.STOP),
    "taken back": (Phase.UNDO,),
}
"""What phases are drawn alike; the letter below names each phase, so that no colour has to be told apart."""
_PAINT = {
    "before the start": ("off", 0.35), "new one starts, dark": ("busy", 0.75), "switch": ("mind", 1.0),
    "watched": ("good", 0.55), "old one leaves": ("good", 1.0), "taken back": ("bad", 1.0),
}  # fmt: skip
_INK = {
    "off": "var(--soft,#888)", "busy": "var(--busy,#2b7fd0)", "mind": "var(--mind,#c77700)",
    "good": "var(--good,#2f9e44)", "bad": "var(--bad,#d0342c)",
}  # fmt: skip
"""The second colour is for pictures that stand alone, outside a notebook's page."""
MOST = 60
WIDTH, ROW, BAR = 900, 24, 14
_LETTERS = 34
"""Pixels from which a phase's name has room in its bar."""


class Timeline:
    """The picture of a run, so far or whole. ``lost`` maps hosts to moments (seconds) of requests that were lost."""

    def __init__(self, history: History, lost: Mapping[str, Sequence[float]]) -> None:
        self._lines = busiest(history.report.lines, MOST)
        self._left = len(history.report.lines) - len(self._lines)
        self._spans = {(one.host, one.role): history.spans(one.host, one.role) for one in self._lines}
        self._borders = [event.at for event in history.all() if isinstance(event, events.BatchStarted)]
        self._end = max(history.now(), 0.1)
        longest = max((len(f"{line.host} {line.role}") for line in self._lines), default=0)
        self._from = min(300, 22 + 7 * longest)
        self._title = title(history.report) if history.report.lines else "nothing happened yet"
        self._lost = {host: sorted(moments) for host, moments in lost.items() if moments}

    @property
    def svg(self) -> Html:
        """The picture alone."""
        height = (len(self._lines) + 1) * ROW + 34
        body = joined(*self._axis(height), *self._batches(height), *self._bars(), *self._losses())
        return tag(
            "svg", tag("title", self.sentence), body, xmlns="http://www.w3.org/2000/svg", role="img",
            viewBox=f"0 0 {WIDTH} {height}", width=WIDTH, height=height, aria_label=self.sentence,
            font_size=12, font_family="sans-serif",
        )  # fmt: skip

    @property
    def sentence(self) -> str:
        """What the picture shows, in words."""
        batches = f", {len(self._borders)} batches" if len(self._borders) > 1 else ""
        lost = sum(len(moments) for moments in self._lost.values())
        told = f", {counted(lost, 'request')} lost" if self._lost else ""
        return f"Timeline of {self._title}: {seconds(self._end)}{batches}{told}."

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        legend = tag("p", *(_legend(name) for name in GROUPS), class_="kn-soft")
        table = tag("details", tag("summary", "in numbers"), tag("pre", "\n".join(self._text()), class_="kn-log"))
        more = tag("p", f"and {self._left} more hosts", class_="kn-soft") if self._left else ""
        body = tag("div", tag("p", self.sentence), tag("div", self.svg, class_="kn-wide"), more, legend, table,
                   class_="kn-card")  # fmt: skip
        return {"text/html": str(styled(body)), "image/svg+xml": str(self.svg), "text/plain": repr(self)}

    def _repr_html_(self) -> str:
        return self._repr_mimebundle_()["text/html"]

    def __repr__(self) -> str:
        return "\n".join([self.sentence, *self._text()])

    def _text(self) -> Iterator[str]:
        wide = max((len(f"{line.host} {line.role}") for line in self._lines), default=0)
        for line in self._lines:
            told = ", ".join(
                f"{span.phase} {span.end - span.start:.1f} s"
                for span in self._spans[line.host, line.role]
                if span.end - span.start >= 0.05
            )
            start = f"from {line.started:.1f} s" if line.started is not None else "not begun"
            yield f"{line.host + ' ' + line.role:<{wide}}  {phase(line):<9}  {start}: {told}".rstrip(": ")
        for host, moments in self._lost.items():
            yield f"{host}: {counted(len(moments), 'request')} lost at {', '.join(f'{at:.1f} s' for at in moments[:8])}"
        if self._left:
            yield f"and {self._left} more hosts"

    def _x(self, at: float) -> float:
        return round(self._from + (WIDTH - self._from - 12) * min(1.0, max(0.0, at / self._end)), 1)

    def _axis(self, height: int) -> Iterator[Html]:
        step = next((s for s in (0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800) if self._end / s <= 9), 3600.0)
        for number in range(int(self._end / step) + 1):
            x = self._x(number * step)
            yield tag("line", x1=x, x2=x, y1=18, y2=height - 16, stroke="var(--line,#8884)", stroke_width=1)
            yield _word(x, 12, f"{number * step:g} s", anchor="middle", opacity=0.75)

    def _batches(self, height: int) -> Iterator[Html]:
        if len(self._borders) < 2:
            return
        for number, at in enumerate(self._borders, start=1):
            x = self._x(at)
            yield tag(
                "line", x1=x, x2=x, y1=18, y2=height - 14, stroke=_INK["off"], stroke_width=1.5, stroke_dasharray="4 3"
            )
            yield _word(x + 3, height - 4, f"batch {number}", opacity=0.85)

    def _bars(self) -> Iterator[Html]:
        for number, line in enumerate(self._lines):
            y = 24 + number * ROW
            yield _word(self._from - 10, y + 11, f"{line.host} {line.role}", anchor="end")
            for span in self._spans[line.host, line.role]:
                yield self._bar(span, line, y)

    def _bar(self, span: Span, line: Line, y: int) -> Html:
        ink, opacity = _paint(span.phase)
        x, end = self._x(span.start), self._x(span.end)
        told = f"{line.host} {line.role}, {change(line)}: {span.phase} {span.end - span.start:.2f} s"
        bar = tag(
            "rect", tag("title", told), x=x, y=y, width=max(1.0, round(end - x, 1)), height=BAR, rx=2, fill=ink,
            fill_opacity=opacity, stroke="var(--back,#fff)", stroke_width=0.7,
        )  # fmt: skip
        name = str(span.phase)
        fits = end - x >= max(_LETTERS, 7 * len(name))
        return joined(bar, _word(x + 4, y + 11, name, size=10) if fits else "")

    def _losses(self) -> Iterator[Html]:
        for number, line in enumerate(self._lines):
            for at in self._lost.get(line.host, ())[:200]:
                told = tag("title", f"a request to {line.host} was lost at {at:.2f} s")
                x, y = self._x(at), 24 + number * ROW
                yield tag("path", told, d=f"M{x - 4} {y - 2}l8 8m-8 0l8-8", stroke=_INK["bad"], stroke_width=2)


def _word(x: float, y: float, text: str, *, anchor: str = "", opacity: float = 1.0, size: int = 0) -> Html:
    return tag(
        "text", text, x=x, y=y, text_anchor=anchor or None, font_size=size or None, fill="var(--ink,#777)",
        fill_opacity=None if opacity == 1.0 else opacity,
    )  # fmt: skip


def _paint(one: Phase) -> tuple[str, float]:
    name = next((name for name, phases in GROUPS.items() if one in phases), "old one leaves")
    meaning, opacity = _PAINT[name]
    return _INK[meaning], opacity


def _legend(name: str) -> Html:
    meaning, opacity = _PAINT[name]
    style = (
        f"display:inline-block;width:.8em;height:.8em;border-radius:2px;background:{_INK[meaning]};opacity:{opacity}"
    )
    phases = ", ".join(map(str, GROUPS[name]))
    inside = joined(tag("span", style=style, aria_hidden="true"), f" {name} ({phases})  ")
    return tag("span", inside, style="margin-right:1.2em;white-space:nowrap")
