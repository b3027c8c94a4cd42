"""Boots in a process of its own, so that tests can kill it: ``controller.py deploy.yml VERSION [HOST…]``.

One event a line, as JSON. The first SIGINT cancels, as Ctrl-C does in a terminal.
"""

from __future__ import annotations

import json
import signal
import sys

from kamalnb.fleet import Fleet


def main() -> int:
    config, version, *hosts = sys.argv[1:]
    rollout = Fleet(config_file=config, hosts=hosts).boot(version)
    signal.signal(signal.SIGINT, lambda *_: rollout.cancel())
    for event in rollout:
        print(json.dumps(event.as_dict(), default=str), flush=True)
    return 0 if rollout.report.ok else 1


if __name__ == "__main__":
    sys.exit(main())
