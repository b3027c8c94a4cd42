"""Shell functions that read and follow logs on hosts. Constants, as in ``host``: values come in as quoted arguments."""

from __future__ import annotations

# k_pick SERVICE ROLE DESTINATION PREFIX VERSION ID running|all: containers as "ROLE ID STATE NAME dDESTINATION vVERSION".
# A label may have line ends in it: what does not begin with an id is no row.
# Running ones; with a version or an id those that fit, in any state; where there is none, the newest.
PICK = """\
k_pick() {
  k_found=$(docker ps --all --no-trunc --filter "label=service=$1" --filter "label=role=$2" \\
    --format '{{.ID}} {{.State}} {{.Names}} d{{.Label "destination"}} v{{.Label "kamalnb.version"}}') || return 1
  k_newest=; k_some=
  while read -r k_id k_st k_name k_d k_v; do
    case $k_id in *[!0-9a-f]*) continue ;; esac
    [ "$k_d" = "d$3" ] || continue
    k_fits "$k_id" "$k_name" "$k_v" "$4" "$5" "$6" || continue
    k_line="$2 $k_id $k_st $k_name $k_d $k_v"
    [ -n "$k_newest" ] || k_newest=$k_line
    case "$k_st $5$6 $7" in
      "running "* | "restarting "* | "paused "* | *" all") ;;
      *" -- "*) continue ;;
    esac
    k_some=1; printf '%s\\n' "$k_line"
  done <<K_FOUND
$k_found
K_FOUND
  [ -n "$k_some" ] || [ -z "$k_newest" ] || printf '%s\\n' "$k_newest"
}
k_fits() {
  case $5 in -) ;; *) case "$3 $2" in "v$5 "* | *" $4-$5" | *" $4-$5_replaced_"*) ;; *) return 1 ;; esac ;; esac
  case $6 in -) ;; *) case $1 in "$6"*) ;; *) [ "$2" = "$6" ] || return 1 ;; esac ;; esac
}"""

# k_filtered ID - CAP, or k_filtered ID + CAP PATTERN OPTION...: each line as ">ID TIME MESSAGE", after grep as ">ID MESSAGE
# US TIME" with the time coded. Each leaves in one write, so that lines of several containers never mix. awk, since sed
# that does not wait for a full buffer reads byte by byte (100 microseconds a line); mawk waits unless told not to.
FILTER = r"""
k_mark='{ m = $0; if (!code && length(m) > cap) m = substr(m, 1, cap) "..."; ORS = ""; print ">" id " " m "\n"; if (flush) fflush() }'
k_code='BEGIN { split("\001 \002 \003 \004 \005 \006 \007 \010 \016 \017 \020 \021 \022 \023 \024", c, " ")
  for (n = 1; n < 16; n++) to[substr("0123456789.:-TZ", n, 1)] = c[n] }
{ n = index($0, " "); t = substr($0, 1, n - 1); m = substr($0, n + 1); s = ""
  if (t !~ /^[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T[0-9:.]+Z$/) { t = ""; m = $0 }
  for (n = 1; n <= length(t); n++) s = s to[substr(t, n, 1)]
  if (length(m) > cap) m = substr(m, 1, cap) "..."
  ORS = ""; print m "\037" s "\n"; if (flush) fflush() }'
k_at_once() {
  k_flush=1
  # An interactive mawk loses the end of a line that has a NUL in it.
  case $(awk -W version 2>&1 </dev/null) in mawk*) k_awk='awk -W interactive'; k_nul=$(command -v stdbuf) ;; esac
  grep --line-buffered -e x - </dev/null >/dev/null 2>&1; [ $? -gt 1 ] || k_lined=--line-buffered
}
k_flush=0; k_awk='awk'; k_lined=; k_nul=
k_takes() { k_e=$1; shift; echo | grep -a "$@" -e "$k_e" - >/dev/null; [ $? -lt 2 ] || return 64; }
k_matching() {
  k_e=$1; shift
  if [ $k_flush$k_lined = 1 ]; then
    while IFS= read -r k_l; do printf '%s\n' "$k_l" | grep -a "$@" -e "$k_e" -; done
  else grep -a $k_lined "$@" -e "$k_e" -; fi
}
k_filtered() {
  k_i=$1; k_g=$2; k_c=$3; shift 3; k_i=${k_i%"${k_i#????????????}"}
  if [ -n "$k_nul" ]; then stdbuf -oL tr '\000' '?' | k_marked "$@"; else k_marked "$@"; fi
}
k_marked() {
  if [ "$k_g" = - ]; then $k_awk -v id="$k_i" -v cap="$k_c" -v flush=$k_flush "$k_mark"
  else $k_awk -v cap="$k_c" -v flush=$k_flush "$k_code" | k_matching "$@" |
      $k_awk -v id="$k_i" -v code=1 -v flush=$k_flush "$k_mark"; fi
}
k_since() { case $1 in ago*) echo $(($(date +%s) - ${1#ago})) ;; *) printf '%s\n' "$1" ;; esac; }
k_docker_logs() {
  if [ "$k_from" = - ]; then docker logs --timestamps "$@" "$k_id"
  else docker logs --timestamps --since "$k_from" "$@" "$k_id"; fi 2>&1 </dev/null && return
  # Docker says why in a line of the log, too; one that is gone has nothing more to say.
  ! docker inspect --format . "$k_id" >/dev/null 2>&1 || printf '!%s %s\n' "$k_id" "$(docker logs --tail 0 "$k_id" 2>&1 </dev/null | tail -n 1)" >&3
  return 1
}"""

# k_logs SERVICE ROLE DESTINATION PREFIX VERSION ID SINCE TAIL MOST CAP -|+ PATTERN OPTION...
READ = r"""
k_logs() {
  k_all=$(k_pick "$1" "$2" "$3" "$4" "$5" "$6" running) || return 1
  k_from=$(k_since "$7"); k_tail=$8; k_most=$9; shift 9; k_cap=$1; k_grep=$2; shift 2
  [ "$k_grep" = - ] || k_takes "$@" || return
  exec 3>&1
  while read -r k_role k_id k_st k_name k_d k_v; do
    [ -n "$k_id" ] || continue
    printf '=%s %s %s %s\n' "$k_role" "$k_id" "$k_name" "$k_v"
    k_docker_logs --tail "$k_tail" | k_filtered "$k_id" "$k_grep" "$k_cap" "$@" | tail -n "$k_most" | tail -c 8000000
  done <<K_ALL
$k_all
K_ALL
}"""

# k_follow SERVICE DESTINATION ROLES VERSION ID SINCE TAIL KNOWN AWAY CAP -|+ PATTERN OPTION...
# ROLES are lines "ROLE PREFIX". KNOWN are lines "ID SINCE" of a connection before, AWAY is when that one was lost, or -.
# A container that starts is followed from its first line; one that ends and starts again goes on where it ended, with
# a few seconds told twice: who listens passes over those.
FOLLOW = r"""
k_follow() {
  k_svc=$1; k_dest=$2; k_roles=$3; k_ver=$4; k_want=$5; k_asked=$(k_since "$6"); k_tail=$7; k_known=$8; k_away=$9; shift 9
  k_cap=$1; k_grep=$2; shift 2; k_at_once; k_mode=running; [ "$k_away" = - ] || k_mode=all
  [ "$k_grep" = - ] || k_takes "$@" || return
  docker version >/dev/null || return 69
  k_began=$(date +%s); printf '*%s\n' "$k_began"
  k_sources | k_manage "$@"
  printf '!- Docker has ended\n'; k_fall
}
k_sources() {
  while read -r k_role k_prefix; do
    k_pick "$k_svc" "$k_role" "$k_dest" "$k_prefix" "$k_ver" "$k_want" $k_mode || return
  done <<K_ROLES
$k_roles
K_ROLES
  echo listed
  docker events --since "$k_began" --filter type=container --filter event=start --filter "label=service=$k_svc" --format \
    '{{index .Actor.Attributes "role"}} {{.ID}} start {{.Actor.Attributes.name}} d{{index .Actor.Attributes "destination"}} v{{index .Actor.Attributes "kamalnb.version"}}'
}
k_manage() {
  k_pids=' '; k_listed=
  while read -r k_role k_id k_st k_name k_d k_v; do
    if [ "$k_role" = listed ]; then k_listed=1; continue; fi
    if [ -n "$k_listed" ]; then k_wanted || continue; k_from=-; k_n=all
    elif [ "$k_away" = - ]; then k_from=$k_asked; k_n=$k_tail
    else k_from=$k_away; k_n=all; k_since_known; fi
    case $k_pids in *" $k_id="*)
      k_p=${k_pids##* "$k_id"=}; k_p=${k_p%% *}
      if kill -0 "$k_p" 2>/dev/null; then sleep 1; if kill -0 "$k_p" 2>/dev/null; then continue; fi; fi
      k_from=$(($(date +%s) - 4)) ;;
    esac
    printf '=%s %s %s %s\n' "$k_role" "$k_id" "$k_name" "$k_v"
    k_one "$@" &
    k_pids="$k_pids$k_id=$! "
  done
}
k_wanted() {
  [ "$k_d" = "d$k_dest" ] || return 1
  while read -r k_r k_prefix; do
    if [ "$k_r" = "$k_role" ]; then k_fits "$k_id" "$k_name" "$k_v" "$k_prefix" "$k_ver" "$k_want"; return; fi
  done <<K_ROLES
$k_roles
K_ROLES
  return 1
}
k_since_known() {
  while read -r k_k k_t; do
    if [ "$k_k" = "$k_id" ]; then k_from=$k_t; return; fi
  done <<K_KNOWN
$k_known
K_KNOWN
}
k_one() {
  exec 3>&1
  while k_docker_logs --follow --tail "$k_n"; do
    case $(docker inspect --format '{{.State.Status}}' "$k_id" 2>/dev/null) in running | restarting | paused) ;; *) break ;; esac
    sleep 1; k_from=$(($(date +%s) - 4)); k_n=all
  done | k_filtered "$k_id" "$k_grep" "$k_cap" "$@"
}"""

ALL = (PICK, FILTER, READ, FOLLOW)
