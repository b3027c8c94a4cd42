"""The load client: sends requests to the lab's hosts and accounts for each one.

    with running_load({"web-1": "http://127.0.0.11"}, Profile()) as load:
        ...                          # boot something meanwhile
        print(load.snapshot().sentence)
    print(load.stop().sentence)      # "12,345 requests, lost 0, versions v1 → v2"

``python -m kamalnb.lab.load URL --seconds 10`` does the same from a terminal.
"""

from __future__ import annotations

from .client import Load, RunningLoad, ask_orders, running_load
from .values import HostTally, Kind, Loss, Mark, Orders, Outcome, Profile, Record, Row, Tally

__all__ = [
    "HostTally",
    "Kind",
    "Load",
    "Loss",
    "Mark",
    "Orders",
    "Outcome",
    "Profile",
    "Record",
    "Row",
    "RunningLoad",
    "Tally",
    "ask_orders",
    "running_load",
]
