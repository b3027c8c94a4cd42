"""``Fleet``: the hosts of a ``deploy.yml``, or a part of them, and everything that can be done with them."""

from __future__ import annotations

from dataclasses import dataclass

from .booting import Booting
from .proxies import Proxies
from .running import Running
from .surroundings import Surroundings


@dataclass(frozen=True, kw_only=True)
class Fleet(Booting, Surroundings, Proxies, Running):
    """The hosts of a ``deploy.yml``, or the part of them that ``roles`` and ``hosts`` (names, wildcards) choose.

    The file is read afresh by each verb, and nothing is reached before one is called. A part of a fleet is a fleet
    too: ``fleet["web"]``, ``fleet.where(hosts="web-1*")``. ``config_file`` is found from the current directory
    upwards (``config/deploy.yml``) where it is not named.
    """

    def __repr__(self) -> str:
        part = [*(f"role {role}" for role in self.roles), *(f"host {host}" for host in self.hosts)]
        named = [str(self.config_file)] if self.config_file else []
        named += [f"destination {self.destination}"] if self.destination else []
        return f"Fleet({', '.join([*named, *part, *(['primary host'] if self.primary else [])])})"
