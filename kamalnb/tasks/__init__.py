"""The Invoke tasks: ``from kamalnb.tasks import ns`` in a project's ``tasks.py`` is all it takes.

Each task says what a person wants done; how is in ``fleet`` and ``lab``. Both are imported when a task runs, so that
``invoke --list`` stays quick.
"""

from __future__ import annotations

from invoke.collection import Collection

from . import app, booting, files, inside, lab, locks, looking, proxy, runbooks, surroundings


def collection() -> Collection:
    """A new collection of every task, for a ``tasks.py`` that adds its own to it."""
    root = Collection()
    for one in (*booting.TASKS, *app.TASKS, *looking.TASKS, *inside.TASKS, *files.TASKS, *runbooks.TASKS):
        root.add_task(one)
    for group in (*files.GROUPS, *locks.GROUPS, *surroundings.GROUPS, *proxy.GROUPS, *runbooks.GROUPS, *lab.GROUPS):
        root.add_collection(group)
    return root


ns = collection()
"""Every task of kamalnb."""
