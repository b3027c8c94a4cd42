"""Real hosts on one machine, to try kamalnb on: each with its own sshd and Docker, behind real Traefik.

``up`` brings a lab up, ``down`` removes it, ``status`` and ``ssh_command`` look at it.
"""

from __future__ import annotations

from .lab import Lab, LabHost, Row, find, ssh_command, status
from .lifecycle import down, up

__all__ = ["Lab", "LabHost", "Row", "down", "find", "ssh_command", "status", "up"]
