"""What a kernel tells of its rollouts, whatever else lies in its memory."""

from __future__ import annotations

import json
import os
import threading
import weakref
from collections.abc import Iterator

import pytest

from kamalnb.fleet.rollout import Rollout
from kamalnb.runbook import inside
from kamalnb.testing import pretend


class Thing:
    pass


class Changing(Rollout):
    """Going on; the first look at it comes at a bad moment."""

    looks = 0

    @property
    def state(self) -> str:
        self.looks += 1
        if self.looks == 1:
            raise RuntimeError("dictionary changed size during iteration")
        return "running"


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


@pytest.fixture
def carried() -> Iterator[None]:
    """A thread that carries a rollout: only then one is looked for."""
    over = threading.Event()
    thread = threading.Thread(target=over.wait, name=inside.THREADS)
    thread.start()
    yield
    over.set()
    thread.join()


def test_a_weak_proxy_of_what_is_gone_is_passed_over() -> None:
    thing = Thing()
    proxy = weakref.proxy(thing)
    del thing
    assert "waiting" in json.loads(inside.state({}))
    del proxy  # it was there until now


def test_a_rollout_that_is_just_being_made_is_passed_over() -> None:
    begun = Rollout.__new__(Rollout)
    assert begun not in [*inside.going(), *inside.waiting()]


@pytest.mark.usefixtures("carried")
def test_one_look_at_a_bad_moment_does_not_end_the_telling(pipe: tuple[int, int]) -> None:
    read, write = pipe
    ended = pretend().boot("v2")
    changing = Changing(ended._engine, ended._stream, "web@v2")
    changing.report = ended.wait()
    telling = inside.Telling(write)
    assert inside._told(telling)
    assert inside._told(telling)
    os.set_blocking(read, False)
    assert "boot" in os.read(read, 65536).decode()
