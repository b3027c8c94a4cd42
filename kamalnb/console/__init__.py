"""The terminal: live table, plain lines, one JSON event a line, the dry run's list. All fold one stream of events.

Cheap to import: rich comes in with the first table.
"""

from __future__ import annotations

from .choice import Style, presenter
from .following import follow

__all__ = ["Style", "follow", "presenter"]
