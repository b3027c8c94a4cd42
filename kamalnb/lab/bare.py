"""The yardstick of ``bench.boot``: the same cut-over as bare docker commands on the host, waiting for events alone.

One ``sh`` per host does it, started inside the host: no Python, no SSH, no checks before, no way back. Each wait is one
loop that looks every 20 ms, inside a container that is there anyway where it can, so it costs one ``docker exec``. The
proxy is asked about the old container only after Docker's verdict: each answer from it keeps a connection open for a
second, which the drain would have to wait for.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from ..errors import LabError
from .lab import Lab

SERVICE = "kamalnb-bench-bare"
HOST_HEADER = "bare.bench.test"
DIRECTORY = "/var/lib/kamalnb-bench"
SEEN = 'curl -s -m 2 -o /dev/null -D - "$1" | grep -qi "^x-kamalnb-boot: $2"'
# 0BB8 is port 3000, and state 01 an established connection, as /proc/net/tcp writes them.
CONNECTED = 'cat /proc/net/tcp /proc/net/tcp6 | grep -q ":0BB8 [0-9A-F]*$1:[0-9A-F]* 01 "'

# sh BOOT NAME IMAGE NONCE PRIORITY PROXY OLD OLD_NONCE; OLD is - where nothing runs yet. Priorities climb, so every
# switch is "tie the new one above the old one, then cut the old one".
BOOT = f"""
set -eu
name=$1; image=$2; nonce=$3; priority=$4; old=$5; old_nonce=$6
proxy=$(docker inspect --format '{{{{range .NetworkSettings.Networks}}}}{{{{.IPAddress}}}}{{{{end}}}}' traefik)
cord={DIRECTORY}/$name; mkdir -p "$cord"; : >"$cord/cord.cut"
r=traefik.http.routers.$name; m=traefik.http.middlewares.$name
id=$(docker run --detach --name "$name" --label service={SERVICE} \\
  --label "$r.rule=Host(\\`{HOST_HEADER}\\`)" --label "$r.priority=$priority" --label "$r.service=$name" \\
  --label "$r-boot.rule=Path(\\`/.kamalnb/$nonce\\`)" --label "$r-boot.priority=2000000" \\
  --label "$r-boot.service=$name" \\
  --label "$r-boot.middlewares=$name-path,$name-header" --label "$m-path.replacepath.path=/up" \\
  --label "$m-header.headers.customresponseheaders.X-Kamalnb-Boot=$nonce" \\
  --label "traefik.http.services.$name.loadbalancer.server.port=3000" \\
  --mount "type=bind,source=$cord,target=/cord" --health-interval 1s --health-retries 1 --health-start-period 1ms \\
  --health-cmd '[ -e /cord/cord ] && curl -fsS -m 3 -o /dev/null http://localhost:3000/up' "$image")
docker exec "$id" sh -c 'until curl -fsS -m 3 -o /dev/null http://localhost:3000/up 2>/dev/null; do sleep 0.02; done'
mv "$cord/cord.cut" "$cord/cord"
docker exec "$id" sh -c 'until {SEEN}; do sleep 0.02; done' s "http://$proxy/.kamalnb/$nonce" "$nonce"
[ "$old" != - ] || exit 0
mv "{DIRECTORY}/$old/cord" "{DIRECTORY}/$old/cord.cut"
while [ "$(docker inspect --format '{{{{.State.Health.Status}}}}' "$old")" = healthy ]; do sleep 0.02; done
docker exec "$id" sh -c 'while {SEEN}; do sleep 0.02; done' s "http://$proxy/.kamalnb/$old_nonce" "$old_nonce"
hex=$(printf '%02X' $(echo "$proxy" | awk -F. '{{print $4, $3, $2, $1}}'))
docker exec "$old" sh -c 'while {CONNECTED}; do sleep 0.02; done' s "$hex"
docker stop "$old" >/dev/null
"""

CLEAR = f"""
ids=$(docker ps --all --quiet --filter label=service={SERVICE}); [ -z "$ids" ] || docker rm --force $ids >/dev/null
rm -rf {DIRECTORY}
"""


@dataclass(eq=False)
class BareBoots:
    """Boots by bare docker commands, one after the other, on every host of ``lab``."""

    lab: Lab
    image: str
    """Without its tag."""
    number: int = 0
    _before: tuple[str, str] = field(default=("-", "-"))

    def boot(self, version: str) -> float:
        """Replaces what ran by ``version`` on all hosts side by side; seconds until the last one was done."""
        self.number += 1
        name, nonce = f"bare-{self.number}", secrets.token_hex(16)
        words = (name, f"{self.image}:{version}", nonce, str(600 + self.number), *self._before)
        began = time.monotonic()
        self._everywhere("boot", BOOT, words)
        seconds = time.monotonic() - began
        self._before = (name, nonce)
        return seconds

    def clear(self) -> None:
        """Removes every container and file it made."""
        self._everywhere("clear", CLEAR, ())

    def _everywhere(self, what: str, script: str, words: Sequence[str]) -> None:
        def on(host: str) -> None:
            done = self.lab.exec(host, ["timeout", "90", "sh", "-c", script, what, *words])
            if done.returncode != 0:
                said = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:] or ["it said nothing"]
                raise LabError(f"The bare {what} on {host} ended with {done.returncode}: {said[0]}. Run lab.up again.")

        with ThreadPoolExecutor(len(self.lab.hosts)) as pool:
            list(pool.map(on, (host.name for host in self.lab.hosts)))
