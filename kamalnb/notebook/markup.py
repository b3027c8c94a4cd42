"""HTML from values: the one place where text becomes HTML, and where it is escaped. Remote text can never be a tag."""

from __future__ import annotations

from html import escape

from ..wording import clean


class Html(str):
    """Text that is HTML already. Only this module makes it."""

    __slots__ = ()


_VOID = frozenset({"br", "hr", "input"})


def text(value: object) -> Html:
    """Any value as escaped text, without control characters."""
    if isinstance(value, Html):
        return value
    told = str(value)
    if told.isprintable():
        return Html(escape(told))
    return Html("\n".join(escape(clean(line)) for line in told.split("\n")))


def tag(name: str, *inside: object, **attributes: object) -> Html:
    """An element. ``class_`` is class, ``aria_label`` is aria-label; None and False leave an attribute out."""
    told = "".join(
        [_attribute(key, value) for key, value in attributes.items() if value is not None and value is not False]
    )
    if name in _VOID:
        return Html(f"<{name}{told}>")
    return Html(f"<{name}{told}>{''.join(map(text, inside))}</{name}>")


def _attribute(key: str, value: object) -> str:
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{escape(clean(str(value)))}"'


def joined(*parts: object) -> Html:
    """Parts one after the other."""
    return Html("".join(map(text, parts)))


def constant(source: str) -> Html:
    """HTML that is written in this package: style sheets, nothing that came from anywhere."""
    return Html(source)
