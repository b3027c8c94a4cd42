"""What a click asks for is done one at a time, and told in order."""

from __future__ import annotations

import threading

import pytest

from kamalnb.notebook.worker import Worker


class Told:
    """What a worker says, in order. ``held`` keeps it from saying how one ended."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.ends = threading.Event()
        self.held = threading.Event()
        self.held.set()

    def busy(self, what: str) -> None:
        self.lines.append(what)

    def told(self, said: str, well: bool) -> None:
        self.ends.set()
        self.held.wait(10)
        self.lines.append(said)


def test_what_is_asked_as_soon_as_an_end_is_told_is_done_and_told_after_it() -> None:
    told, done = Told(), threading.Event()
    worker = Worker(told.busy, told.told)
    told.held.clear()
    worker.ask("looking", lambda: "looked")
    assert told.ends.wait(10)
    asked = threading.Thread(target=worker.ask, args=("planning", lambda: done.set() or "planned"))
    asked.start()
    asked.join(0.05)
    told.held.set()
    assert done.wait(10)
    assert told.lines[:3] == ["looking", "looked", "planning"]


def test_what_is_asked_meanwhile_is_dropped_and_what_is_urgent_waits() -> None:
    told, go, done = Told(), threading.Event(), threading.Event()
    worker = Worker(told.busy, told.told)
    assert worker.ask("looking", lambda: str(go.wait(10)))
    assert not worker.ask("planning", lambda: "planned")
    assert worker.ask("undoing", lambda: done.set() or "undone", urgent=True)
    assert not worker.ask("undoing", lambda: "undone twice", urgent=True)
    go.set()
    assert done.wait(10)
    assert told.lines[:3] == ["looking", "True", "undoing"]


def test_a_page_that_cannot_be_told_does_not_keep_the_next_from_being_done() -> None:
    done = threading.Event()
    pages = iter([RuntimeError("the page is gone")])

    def busy(what: str) -> None:
        for error in pages:
            raise error

    worker = Worker(busy, lambda said, well: None)
    with pytest.raises(RuntimeError):
        worker.ask("looking", lambda: "looked")
    assert worker.ask("looking", lambda: done.set() or "looked")
    assert done.wait(10)


@pytest.mark.parametrize("busy", [False, True])
def test_a_thread_that_cannot_be_had_does_not_keep_the_next_from_being_done(
    busy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_thread(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    told, go, done = Told(), threading.Event(), threading.Event()
    worker = Worker(told.busy, told.told)
    if busy:
        worker.ask("looking", lambda: str(go.wait(10)))
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", no_thread)
        with pytest.raises(RuntimeError):
            worker.ask("undoing", lambda: "undone", urgent=True)
    assert worker.ask("undoing", lambda: done.set() or "undone", urgent=True)
    go.set()
    assert done.wait(10)
