"""Pretend hosts in virtual time, for tests, for practice, and for places without Docker.

``drive`` runs a flow with scripted answers. ``PretendHost`` is Docker, cords, health checks and Traefik without any of
them; ``PretendFleet`` is an executor over several. Nothing here sleeps, unless it is asked to be shown at a human pace.
"""

from __future__ import annotations

from .apps import APPS, App
from .containers import Check, PretendContainer
from .fleet import FAILURES, FakeClock, PretendFleet, drive_on, pretend
from .host import PretendHost, Unexpected
from .proxy import PretendTraefik
from .scripted import Driven, drive
from .traffic import Answer, Traffic

__all__ = [
    "APPS",
    "FAILURES",
    "Answer",
    "App",
    "Check",
    "Driven",
    "FakeClock",
    "PretendContainer",
    "PretendFleet",
    "PretendHost",
    "PretendTraefik",
    "Traffic",
    "Unexpected",
    "drive",
    "drive_on",
    "pretend",
]
