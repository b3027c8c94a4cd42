"""A new Traefik in the place of the old one, on the host itself, and what is asked of it until it routes again.

While one Traefik stops and the next starts nothing answers on the host. So everything that can be done before is done
before (image, new container), and the rest is one script that puts the old one back by itself. No I/O here.
"""

from __future__ import annotations

from dataclasses import dataclass

from .. import traefik
from ..docker import Container
from ..shell import Command, Question, Word, look
from ..traefik import Proxy, Router
from . import host
from .app import hundredths
from .traefik import NAME

UP_WITHIN = 15.0
"""Seconds that a new Traefik may take until everything is routed as before."""

# k_holds BY NETWORK PORTS WHAT ADDRESS: one thing that the proxy is asked. A network that begins with @ is an address.
# WHAT is "-" (any answer will do), a nonce (ADDRESS is "-"), or a service of its API that must list ADDRESS.
HOLDS = """\
k_networks() {
  k_nets='{{range $n, $v := .NetworkSettings.Networks}}{{$n}} {{$v.IPAddress}}{{println}}{{end}}'
  k_nets=$(docker inspect --format "$k_nets" traefik 2>/dev/null)
}
k_holds() {
  k_by=$1; k_ip=; k_at=$5
  case $2 in @*) k_ip=${2#@} ;; *)
    while read -r k_n k_a; do [ "$k_n" != "$2" ] || k_ip=$k_a; done <<K_NETS
$k_nets
K_NETS
  esac
  [ -n "$k_ip" ] || return 1
  for k_p in $3; do
    k_base=${k_p%%:*}://$k_ip:${k_p##*:}
    if [ "$4" = - ]; then case $(k_ask head "$k_base/") in *HTTP/*) return 0 ;; esac
    elif [ "$k_at" = - ]; then ! k_seen "$4" "$k_base" || [ "$k_reached" != yes ] || return 0
    else ! k_listed "$k_base" "$4" "$k_at" || return 0; fi
  done
  return 1
}
k_holding() {
  k_networks; k_number=0
  while [ $# -gt 0 ]; do
    shift; ! k_holds "$1" "$2" "$3" "$4" "$5" || echo "$k_number"
    k_number=$((k_number + 1)); shift 5
  done
}"""

# k_return ID HUNDREDTHS COUNT, then six words (a name, and what k_holds takes) for each thing that must hold again.
RETURN = """\
k_return() {
  k_id=$1; k_clock; k_until=$((k_now + $2)); k_left=$3; shift 3
  while :; do
    k_s=$(k_state "$k_id") || return 65
    case $k_s in "running 0 "*) ;; *) echo "state $k_s"; return 65 ;; esac
    k_networks
    while [ "$k_left" -gt 0 ] && k_holds "$2" "$3" "$4" "$5" "$6"; do shift 6; k_left=$((k_left - 1)); done
    [ "$k_left" -gt 0 ] || return 0
    k_clock; [ "$k_now" -lt $k_until ] || { echo "missing $1"; return 69; }
    sleep 0.05
  done
}
k_last_words() { docker logs --tail 15 "$1" 2>&1 | while IFS= read -r k_line; do printf 'log %s\\n' "$k_line"; done; }
k_gap() { k_clock; k_took=$((k_now - k_began)); printf 'gap %d.%02d\\n' $((k_took / 100)) $((k_took % 100)); }
k_restart_traefik() {
  k_t=$1; shift; k_clock; k_began=$k_now
  docker stop -t "$k_t" traefik >/dev/null && docker start traefik >/dev/null || return 1
  k_return traefik "$@"; k_r=$?
  if [ $k_r -eq 0 ]; then k_gap; else k_last_words traefik; fi
  return $k_r
}"""

# k_reboot_traefik NEW OLD SECONDS PATHS HUNDREDTHS COUNT, what the new one must hold, COUNT, what the old one must.
# By id from here on: whoever renames them meanwhile, only the new one is ever removed before the new one is up.
REBOOT = """\
k_carry() {
  for k_path in $3; do
    docker cp "$1:$k_path" - >/dev/null 2>&1 || continue
    docker cp "$1:$k_path" - | docker cp - "$2:${k_path%/*}/" || return 1
  done
}
k_begin() { docker rename "$1" "$3" && docker rename "$2" traefik && k_clock && k_began=$k_now; }
k_reboot_traefik() {
  k_new=$(docker inspect --format '{{.Id}}' "$1") && k_old=$(docker inspect --format '{{.Id}}' traefik) || return 1
  k_aside=$2; k_t=$3; k_paths=$4; k_h=$5; k_count=$6; shift 6
  k_clock; k_began=$k_now
  if k_begin "$k_old" "$k_new" "$k_aside" && docker stop -t "$k_t" "$k_old" >/dev/null &&
    k_carry "$k_old" "$k_new" "$k_paths" && docker start "$k_new" >/dev/null &&
    k_return "$k_new" "$k_h" "$k_count" "$@"
  then
    k_gap
    docker rm "$k_old" >/dev/null
    return
  else
    k_r=$?
  fi
  k_last_words "$k_new"
  shift $((6 * k_count)); k_count=$1; shift
  docker rm --force "$k_new" >/dev/null
  docker rename "$k_old" traefik 2>/dev/null
  docker start "$k_old" >/dev/null && k_return "$k_old" "$k_h" "$k_count" "$@" || { echo "old lost"; return 1; }
  k_gap; echo "old again"
  return $k_r
}"""

ALL = (HOLDS, RETURN, REBOOT)
USES = (host.CLOCK, host.ASK_PROXY, HOLDS, RETURN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    """One thing to ask the proxy: that it answers, or that it routes to a container. See ``k_holds``."""

    container: str
    name: str
    by: str
    network: str
    ports: str
    what: str = "-"
    address: str = "-"

    @property
    def words(self) -> tuple[Word, ...]:
        """As the host's functions take it."""
        return (self.name, self.by, self.network, self.ports, self.what, self.address)


def things(proxy: Proxy, containers: tuple[Container, ...], tool: str | None) -> tuple[Thing, ...]:
    """What can be asked of ``proxy``: that it answers, and each container that it might route to."""
    routed = tuple(one for one in containers if one.name != NAME and one.routable and _enabled(one, proxy))
    found = [_routes(proxy, container, tool) for container in routed]
    by = "host" if tool else next((one.id for one in routed), "")
    return tuple(thing for thing in (_answers(proxy, by, tool), *found) if thing is not None)


def holding(asked: tuple[Thing, ...]) -> Question[tuple[Thing, ...]]:
    """Those of ``asked`` that hold now."""
    words = ("k_holding", *(word for thing in asked for word in thing.words))
    command = look("ask what is routed", *words, uses=USES, limit=60.0)
    return Question(command, lambda text: tuple(asked[int(line)] for line in text.split()))


def swap(suffix: str, seconds: int, paths: tuple[str, ...], new: tuple[Thing, ...], old: tuple[Thing, ...]) -> Command:
    """Stops the old one, starts the new one, waits until it routes; else the old one runs again.

    ``paths`` are files inside the old one's own layer that the new one gets.
    """
    words = (
        *("k_reboot_traefik", new_name(suffix), aside_name(suffix), str(seconds), " ".join(paths)),
        *(hundredths(UP_WITHIN), str(len(new)), *(word for thing in new for word in thing.words)),
        *(str(len(old)), *(word for thing in old for word in thing.words)),
    )
    limit = seconds + 2 * UP_WITHIN + 60.0
    return Command(name="reboot traefik", words=words, uses=(*USES, REBOOT), limit=limit, example="gap 1.20")


def restart(seconds: int, old: tuple[Thing, ...]) -> Command:
    """Stops and starts the same one, and waits until it routes again."""
    words = (
        *("k_restart_traefik", str(seconds), hundredths(UP_WITHIN), str(len(old))),
        *(word for thing in old for word in thing.words),
    )
    limit = seconds + UP_WITHIN + 60.0
    return Command(name="restart traefik", words=words, uses=USES, limit=limit, example="gap 1.20")


def new_name(suffix: str) -> str:
    """What the new one is called until it takes the name."""
    return f"{NAME}_new_{suffix}"


def aside_name(suffix: str) -> str:
    """What the old one is called until the new one is up."""
    return f"{NAME}_replaced_{suffix}"


def _enabled(container: Container, proxy: Proxy) -> bool:
    return container.labels.get("traefik.enable", str(proxy.exposed_by_default)).lower() == "true"


def _answers(proxy: Proxy, by: str, tool: str | None) -> Thing | None:
    network = "@127.0.0.1" if proxy.host_network else next(iter(proxy.container.networks), "")
    ports = _ports(proxy, Router(name=""), plain=by == "host" and tool == "bash")
    return Thing(container="", name="any-answer", by=by, network=network, ports=ports) if by and ports else None


def _routes(proxy: Proxy, container: Container, tool: str | None) -> Thing | None:
    network, nonce = _network(proxy, container), container.labels.get(traefik.NONCE_LABEL)
    router = next((one for one in traefik.routers(container.labels) if one.for_acknowledging), None)
    of = {"container": container.id, "name": container.name, "network": network}
    if nonce and router is not None and network:
        ports = _ports(proxy, router)
        by = "host" if tool and (tool != "bash" or "https:" not in ports) else container.id
        return Thing(**of, by=by, ports=ports, what=nonce) if ports else None
    services, port = traefik.services(container.labels), _port(container)
    if proxy.api_port is None or not services or not network or not port:
        return None
    address = container.networks.get(network) or next(iter(container.networks.values()), "")
    by, ports = "host" if tool else container.id, f"http:{proxy.api_port}"
    return Thing(**of, by=by, ports=ports, what=services[0], address=f"{address}:{port}")


def _ports(proxy: Proxy, router: Router, *, plain: bool = False) -> str:
    """``scheme:port`` words of the entry points that ``router`` hangs on; ``plain`` for bash, which has no TLS."""
    wanted = {name.lower() for name in router.entry_points} or {name.lower() for name in proxy.entry_points}
    secure = {name.lower() for name in proxy.secure_entry_points}
    found = [
        f"{'https' if router.tls or name.lower() in secure else 'http'}:{port}"
        for name, port in proxy.entry_points.items()
        if name.lower() in wanted
    ]
    return " ".join(one for one in found if not plain or one.startswith("http:"))


def _network(proxy: Proxy, container: Container) -> str:
    """The network they meet in, by name, or the proxy's address as ``@address``; empty where they do not meet."""
    if proxy.host_network or container.network_mode == "host":
        return f"@{next(filter(None, container.gateways.values()), '127.0.0.1')}"
    shared = [name for name in container.networks if name in proxy.container.networks]
    named = container.labels.get("traefik.docker.network") or proxy.network
    return named if named in shared else next(iter(shared), "")


def _port(container: Container) -> int:
    keys = (value for key, value in container.labels.items() if key.lower().endswith(".loadbalancer.server.port"))
    given = next(keys, "")
    return int(given) if given.isdigit() else min(container.ports, default=0)
