"""What people hold: ``Fleet``, and the ``Plan`` and ``Rollout`` that its verbs give. One engine under every face."""

from __future__ import annotations

from .fleet import Fleet
from .plan import Plan
from .rollout import Rollout

__all__ = ["Fleet", "Plan", "Rollout"]
