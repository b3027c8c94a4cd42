"""Runbooks: notebooks of the project that a person clicks through and a machine runs, from one file.

What each task needs is here: ``listing``, ``create``, ``run`` and ``open_lab``. Reading a runbook needs nothing of
Jupyter; running one needs the extra ``notebook``.
"""

from __future__ import annotations

from .catalogue import create, listing
from .jupyter import open_lab
from .running import run

__all__ = ["create", "listing", "open_lab", "run"]
