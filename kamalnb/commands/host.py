"""Shell functions that run on hosts: the loops that wait there, and the questions asked of the proxy there.

Each is a constant: values come in as quoted arguments, never by pasting text. They are plain POSIX shell (dash, bash,
busybox), need nothing on a host but Docker, and are checked by a linter in the tests. Times are in hundredths
of a second on the host's monotonic clock (/proc/uptime).
"""

from __future__ import annotations

GONE, LATE, NO_SHELL, NO_TOOL, UNROUTED, BLIND = 65, 66, 67, 68, 69, 71

CLOCK = """\
k_clock() { read -r k_up k_rest </proc/uptime; k_now=${k_up%.*}${k_up#*.}; }
k_state() { docker inspect --format '{{.State.Status}} {{.RestartCount}} {{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}}' "$1"; }"""

# One file name of the cord is there or not; a move works on a full disk and can be taken back. The file “dark” beside
# it says that no switch ever went to its container.
CORDS = """\
k_dark() {
  umask 022; mkdir -p "$1" && [ ! -e "$1/cord" ] && : >"$1/cord.cut" && chmod 755 "$1" && chmod 644 "$1/cord.cut" \
    && : >"$1/dark"
}
k_tie() { [ -e "$1/cord" ] || mv -f "$1/cord.cut" "$1/cord"; }
k_cut() { [ ! -e "$1/cord" ] || mv -f "$1/cord" "$1/cord.cut"; }
k_cords() {
  case $1 in /*) ;; *) set -- "$(pwd -P)/$1" ;; esac
  for k_c in "$1"/*/; do
    [ -d "$k_c" ] || continue
    k_s='empty'; [ ! -e "${k_c}cord.cut" ] || k_s='cut'
    [ $k_s = empty ] || [ ! -e "${k_c}dark" ] || k_s='dark'
    [ ! -e "${k_c}cord" ] || k_s=tied
    printf '%s %s\\n' "$k_s" "${k_c%/}"
  done
}"""

# Everything of a label, any state; a container that vanishes between the two commands is asked for again.
INSPECT = """\
k_inspect() {
  k_format=$1; shift; k_try=0
  while :; do
    k_ids=$(docker ps --quiet --no-trunc "$@") || return 1
    [ -n "$k_ids" ] || return 0
    k_out=$(docker inspect --format "$k_format" $k_ids) && { printf '%s\\n' "$k_out"; return 0; }
    k_try=$((k_try + 1)); [ $k_try -lt 4 ] || return 1; sleep 0.1
  done
}"""

# What runs, what is of a service, and Traefik, whatever their state: two Docker calls for all of it. A stranger's label
# may have line ends in it: what does not begin with an id is no row.
CENSUS = """\
k_census() {
  k_try=0
  while :; do
    k_all=$(docker ps --all --no-trunc --format '{{.ID}} {{.State}} {{.Names}} {{.Label "service"}}') || return 1
    k_ids=
    while read -r k_id k_st k_name k_svc; do
      case $k_id in *[!0-9a-f]*) continue ;; esac
      case "$k_st $k_name $k_svc" in
        "running "* | "restarting "* | "paused "* | *" traefik "* | *" $2") k_ids="$k_ids $k_id" ;;
      esac
    done <<K_ALL
$k_all
K_ALL
    [ -n "$k_ids" ] || return 0
    k_out=$(docker inspect --format "$1" $k_ids) && { printf '%s\\n' "$k_out"; return 0; }
    k_try=$((k_try + 1)); [ $k_try -lt 4 ] || return 1; sleep 0.1
  done
}"""

# How to fetch an address with whatever is there. $1 is head (status and headers) or body, $2 the address. The wget of
# busybox is the last: of an answer like 404 or 503 it shows no headers, and some builds of it crash or have no limit.
FETCH_TOOLS = ("curl", "wget", "python3", "ruby", "node", "php")
HOST_TOOLS = (*FETCH_TOOLS, "bash")
"""On a host bash will do, which every Debian has: plain HTTP only. It spares a ``docker exec`` (0.1 s) a question."""
FETCH = """\
if command -v curl >/dev/null 2>&1; then
  if [ "$1" = head ]; then exec curl -sk -m 2 -o /dev/null -D - "$2"; fi; exec curl -sk -m 2 "$2"
fi
k_w=; command -v wget >/dev/null 2>&1 && k_w=$(wget --help 2>&1)
case $k_w in *content-on-error*)
  k_w="-T 2 -t 1 --no-check-certificate --max-redirect=0 --content-on-error"
  if [ "$1" = head ]; then wget $k_w -q -S -O /dev/null "$2" 2>&1; exit 0; fi; exec wget $k_w -q -O - "$2" ;;
esac
if command -v python3 >/dev/null 2>&1; then
  exec python3 -c 'import sys,ssl,http.client,urllib.parse as p
u=p.urlsplit(sys.argv[2]);c=ssl._create_unverified_context()
h=http.client.HTTPSConnection(u.netloc,timeout=2,context=c) if u.scheme=="https" else http.client.HTTPConnection(u.netloc,timeout=2)
h.request("GET",u.path+("?"+u.query if u.query else ""));r=h.getresponse();b=r.read()
print("HTTP/1.1",r.status,*("\\n%s: %s"%x for x in r.getheaders())) if sys.argv[1]=="head" else sys.stdout.buffer.write(b)' "$1" "$2"
elif command -v ruby >/dev/null 2>&1; then
  exec ruby -rnet/http -ropenssl -e 'u=URI(ARGV[1]);h=Net::HTTP.new(u.host,u.port);h.use_ssl=u.scheme=="https";h.verify_mode=0;h.open_timeout=h.read_timeout=2
r=h.get(u.request_uri);if ARGV[0]=="head" then puts "HTTP/1.1 #{r.code}";r.each_capitalized{|k,v|puts "#{k}: #{v}"} else puts r.body end' "$1" "$2"
elif command -v node >/dev/null 2>&1; then
  exec node -e 'const[m,u]=process.argv.slice(1);require(u.startsWith("https")?"https":"http").get(u,{rejectUnauthorized:false,timeout:2000},r=>{
if(m=="head"){console.log("HTTP/1.1 "+r.statusCode);for(let i=0;i<r.rawHeaders.length;i+=2)console.log(r.rawHeaders[i]+": "+r.rawHeaders[i+1]);r.destroy()}else r.pipe(process.stdout)
}).on("error",()=>process.exit(1)).on("timeout",()=>process.exit(1))' "$1" "$2"
elif command -v php >/dev/null 2>&1; then
  exec php -r '$c=stream_context_create(["http"=>["ignore_errors"=>1,"timeout"=>2,"follow_location"=>0],"ssl"=>["verify_peer"=>false,"verify_peer_name"=>false]]);
$b=@file_get_contents($argv[2],false,$c);if($b===false)exit(1);echo $argv[1]=="head"?implode("\\n",$http_response_header):$b;' "$1" "$2"
elif command -v bash >/dev/null 2>&1 && [ "${2#http:}" != "$2" ]; then
  k_t="timeout 2"; command -v timeout >/dev/null 2>&1 || k_t=
  exec $k_t bash -c 'u=${2#http://}; a=${u%%/*}; r=$(printf "\\r"); exec 3<>"/dev/tcp/${a%:*}/${a##*:}" || exit 1
printf "GET /%s HTTP/1.0\\r\\nHost: %s\\r\\n\\r\\n" "${u#*/}" "$a" >&3
while IFS= read -r l <&3; do l=${l%"$r"}; [ -n "$l" ] || break; [ "$1" = body ] || printf "%s\\n" "$l"; done
[ "$1" = head ] || cat <&3' k "$1" "$2"
elif command -v wget >/dev/null 2>&1; then
  case $k_w in *-T*) k_w="-T 2" ;; *) k_w= ;; esac
  if [ "$1" = head ]; then wget $k_w -q -S -O /dev/null "$2" 2>&1; exit 0; fi; exec wget $k_w -q -O - "$2"
fi
exit 68"""


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\"'\"'") + "'"


# k_by is who asks: "host", or a container with a tool in it. Traefik puts our header on its own 502 too (seen on 3.7):
# the header says that the route is there, and only with an answer of the app's own has anything been reached.
ASK_PROXY = (
    f"k_fetch={_quoted(FETCH)}\n"
    + """\
k_ask() {
  if [ "$k_by" = host ]; then sh -c "$k_fetch" k "$1" "$2"; else docker exec "$k_by" sh -c "$k_fetch" k "$1" "$2"; fi 2>/dev/null
}
k_seen() {
  k_nonce=$1; shift; k_answered=no; k_reached=no
  for k_url in "$@"; do
    k_head=$(k_ask head "$k_url/.kamalnb/$k_nonce")
    case $k_head in *HTTP/*) k_answered=yes ;; *) continue ;; esac
    case $k_head in *[Xx]-[Kk]amalnb-[Bb]oot:\\ "$k_nonce"*) ;; *) continue ;; esac
    k_code=${k_head#*HTTP/}; k_code=${k_code#* }
    case ${k_code%%[!0-9]*} in 502 | 503 | 504) ;; *) k_reached=yes ;; esac
    return 0
  done
  return 1
}
k_enabled() {
  k_body=$(k_ask body "$1/api/http/routers/$2@docker") || return 1
  case $k_body in *'"error":'*) printf 'router %s: %s\\n' "$2" "$k_body"; return 1 ;; *'"status":"enabled"'*) return 0 ;; esac
  return 1
}
k_listed() {
  case $(k_ask body "$1/api/http/services/$2@docker") in *"//$3\\""*) return 0 ;; *'{'*) return 1 ;; esac
  return 2
}"""
)

# k_routed BY ID HUNDREDTHS NONCE API ROUTERS SERVICE ADDRESS URL...: until Docker says healthy, and the proxy says so.
ROUTED = """\
k_routed() {
  k_by=$1; k_id=$2; k_clock; k_until=$((k_now + $3)); k_nonce=$4; k_api=$5; k_routers=$6; k_service=$7; k_address=$8; shift 8
  k_said=
  while :; do
    k_s=$(k_state "$k_id") || exit 65
    case $k_s in "running "*" healthy" | "running "*" none") k_why=proxy ;; "running "*) k_why=health ;; *) echo "state $k_s"; exit 65 ;; esac
    if [ $k_why = proxy ]; then
      if [ $# -eq 0 ] || { k_seen "$k_nonce" "$@" && [ $k_reached = yes ]; }; then k_why=; fi
      if [ -z "$k_why" ] && [ "$k_api" != - ]; then
        for k_router in $k_routers; do k_enabled "$k_api" "$k_router" || k_why=router; done
        k_listed "$k_api" "$k_service" "$k_address" || k_why=service
      fi
      [ -n "$k_why" ] || { echo acknowledged; return 0; }
    fi
    [ "$k_said" = "$k_why" ] || { echo "waiting for $k_why"; k_said=$k_why; }
    k_clock; [ "$k_now" -lt $k_until ] || exit 69
    sleep 0.1
  done
}"""

# k_out BY ID HUNDREDTHS NONCE API SERVICE ADDRESS ASSUMED URL...: until Docker says not healthy, and the proxy let go.
# One that does not run any more may have been the one to ask with: then there is no answer, and it is out.
OUT = """\
k_gone() { case $k_s in "running "* | "paused "*) return 1 ;; esac; echo gone; }
k_out() {
  k_by=$1; k_id=$2; k_clock; k_until=$((k_now + $3)); k_nonce=$4; k_api=$5; k_service=$6; k_address=$7; k_assumed=$8; shift 8
  while :; do
    k_s=$(k_state "$k_id" 2>/dev/null) || k_s=vanished
    case $k_s in "running "*" healthy" | "running "*" none") ;; *)
      # While its API still lists it, asking by nonce would open a connection that the drain then has to wait for.
      if [ "$k_api" != - ] && k_listed "$k_api" "$k_service" "$k_address"; then :
      elif [ "$k_nonce" != - ] && [ $# -gt 0 ]; then
        if k_seen "$k_nonce" "$@"; then :; elif [ $k_answered = yes ]; then echo confirmed; return 0; else k_gone && return 0; fi
      elif [ "$k_api" != - ]; then
        k_listed "$k_api" "$k_service" "$k_address"; case $? in 1) echo confirmed; return 0 ;; 2) k_gone && return 0 ;; esac
      else
        echo assumed; sleep "$k_assumed"; return 0
      fi ;;
    esac
    k_clock; [ "$k_now" -lt $k_until ] || exit 69
    sleep 0.05
  done
}"""

# k_assume SECONDS: where nobody can be asked, time has to do.
ASSUME = 'k_assume() { echo assumed; sleep "$1"; }'

# k_verify ID HUNDREDTHS CHECK CORD: until the app check passes inside the container. Its cord, still cut, has to be
# seen from there (SELinux, users and rights can forbid it): Docker would never call it healthy. - is for no cord.
VERIFY = """\
k_verify() {
  k_clock; k_until=$((k_now + $2)); k_last=; k_see=
  [ "$4" = - ] || k_see='[ -e "$1/cord.cut" ] || exit 71; shift; '
  while :; do
    k_s=$(k_state "$1") || exit 65
    case $k_s in "running 0 "*) ;; *) echo "state $k_s"; exit 65 ;; esac
    k_out=$(docker exec "$1" sh -c "$k_see$3" k "$4" 2>&1); k_r=$?
    case $k_r in
      0) return 0 ;;
      126 | 127) docker exec "$1" sh -c : >/dev/null 2>&1; case $? in 126 | 127) exit 67 ;; esac ;;
      68) exit 68 ;;
      71) [ "$4" = - ] || docker exec "$1" sh -c '[ -e "$1/cord.cut" ]' k "$4" >/dev/null 2>&1 || exit 71 ;;
    esac
    [ "$k_last" = "$k_out" ] || { k_last=$k_out; printf '%s\\n' "$k_out" | tail -n 3; }
    k_clock; [ "$k_now" -lt $k_until ] || exit 66
    sleep 0.2
  done
}
k_sockets() { docker exec "$1" sh -c 'for f in /proc/net/tcp /proc/net/tcp6; do [ -r $f ] || continue; while read -r l; do echo "$l"; done <$f; done'; }"""

# k_alive ID HUNDREDTHS HEALTH: it stays up, never restarts, and (HEALTH=healthy) stays healthy that long.
ALIVE = """\
k_alive() {
  k_clock; k_until=$((k_now + $2))
  while :; do
    k_s=$(k_state "$1") || exit 65
    case $k_s in "running 0 healthy" | "running 0 none") ;; "running 0 "*) [ "$3" = any ] || { echo "state $k_s"; exit 65; } ;; *) echo "state $k_s"; exit 65 ;; esac
    k_clock; [ "$k_now" -lt $k_until ] || return 0
    sleep 0.1
  done
}
k_healthy() {
  k_clock; k_until=$((k_now + $2)); k_bad=0
  while :; do
    k_s=$(k_state "$1") || exit 65
    case $k_s in "running 0 healthy") return 0 ;; "running 0 none") return 0 ;; "running 0 "*) ;; *) echo "state $k_s"; exit 65 ;; esac
    k_clock; [ "$k_now" -lt $k_until ] || exit 66
    sleep 0.1
  done
}"""

# k_drain ID PID PORT_HEX HUNDREDTHS ADDRESS_HEX...: until no connection from the proxy is open, seen empty twice.
DRAIN = """\
k_open() {
  k_table=$(docker exec "$1" cat /proc/net/tcp /proc/net/tcp6 2>/dev/null) || k_table=$(cat "/proc/$2/net/tcp" "/proc/$2/net/tcp6" 2>/dev/null) || { k_open=unknown; return; }
  case $k_table in *local_address*) ;; *) k_open=unknown; return ;; esac
  k_port=$3; shift 3; k_open=0
  while read -r k_n k_local k_remote k_st k_rest; do
    [ "$k_st" = 01 ] || continue
    case $k_local in *":$k_port") ;; *) continue ;; esac
    for k_a in "$@"; do case $k_remote in "$k_a:"* | *"FFFF0000$k_a:"*) k_open=$((k_open + 1)) ;; esac; done
  done <<K_TABLE
$k_table
K_TABLE
}
k_drain() {
  k_id=$1; k_pid=$2; k_p=$3; k_clock; k_until=$((k_now + $4)); shift 4; k_said=; k_zero=0
  while :; do
    [ $k_zero = 1 ] || case $(k_state "$k_id" 2>/dev/null) in running\\ *) ;; *) echo "left 0"; return 0 ;; esac
    k_open "$k_id" "$k_pid" "$k_p" "$@"
    [ "$k_said" = "$k_open" ] || { echo "open $k_open"; k_said=$k_open; }
    if [ "$k_open" = 0 ]; then k_zero=$((k_zero + 1)); else k_zero=0; fi
    [ $k_zero -lt 2 ] || { echo "left 0"; return 0; }
    k_clock; [ "$k_now" -lt $k_until ] || { echo "left $k_open"; return 0; }
    if [ $k_zero = 1 ]; then sleep 0.05; else sleep 0.2; fi
  done
}"""

# k_stop SECONDS ID...: with the exit code, since 137 means it was killed. A container that is gone is stopped.
STOP = """\
k_stop() {
  k_t=$1; shift
  for k_id in "$@"; do
    docker inspect --format . "$k_id" >/dev/null 2>&1 || { echo "gone $k_id"; continue; }
    if [ "$k_t" = - ]; then docker stop "$k_id" >/dev/null || return 1; else docker stop -t "$k_t" "$k_id" >/dev/null || return 1; fi
    printf 'exit %s %s\\n' "$(docker inspect --format '{{.State.ExitCode}}' "$k_id")" "$k_id"
  done
}"""

# k_named ID NAME ASIDE: the container gets its name. Another one that has it steps aside, under a name of its own.
NAMED = """\
k_named() {
  k_has=$(docker inspect --type container --format '{{.Id}}' "$2" 2>/dev/null) || k_has=
  [ "$k_has" != "$1" ] || return 0
  [ -z "$k_has" ] || docker rename "$k_has" "$3" || return 1
  docker rename "$1" "$2"
}"""

# k_keep ID FILE LINES: the whole log, bounded, stays on the host; the last lines are shown.
KEEP = """\
k_keep() {
  umask 077; mkdir -p "${2%/*}" && docker logs --tail 50000 "$1" 2>&1 | tail -c 4000000 >"$2" && { tail -n "$3" "$2"; return; }
  rm -f "$2"; docker logs --tail "$3" "$1" 2>&1; return 1
}"""

WRITE = """\
k_write() { umask 077; mkdir -p "${1%/*}" && cat >"$1.tmp.$$" && mv -f "$1.tmp.$$" "$1"; }
k_audit() { mkdir -p "${1%/*}" && printf '[%s]%s\\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$2" >>"$1"; }"""

ALL = (CLOCK, CORDS, INSPECT, CENSUS, ASK_PROXY, ROUTED, OUT, ASSUME, VERIFY, ALIVE, DRAIN, STOP, NAMED, KEEP, WRITE)
