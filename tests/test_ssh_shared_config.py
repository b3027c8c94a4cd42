"""All connections share one Fabric configuration: none of them may write into it."""

from __future__ import annotations

from kamalnb.ssh import wire
from kamalnb.ssh.transport import Transports


class Nobody:
    """Logs nobody in."""

    def authenticate(self, transport: object) -> None:
        raise AssertionError("nobody is asked")


def test_new_connection_writes_nothing_into_the_settings_that_all_share() -> None:
    transports = Transports(key_types=(), patience=1.0)
    made = wire.new_connection("web-1", 22, lambda: None, transports, lambda key: None, Nobody())
    before = made.config._config
    wire.new_connection("web-2", 22, lambda: None, transports, lambda key: None, Nobody())
    assert made.config._config is before, "merged again: for a moment it was empty"
    assert made.config._modifications == {}
