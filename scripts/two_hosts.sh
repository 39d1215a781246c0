#!/usr/bin/env bash
# Runs a program under mpirun as on two hosts: two network namespaces with a name each, an interface each, and a cable between them. Ranks are
# dealt to both in turn, and what they say to each other goes over TCP.
#   two_hosts.sh RANKS PROGRAM [ARGUMENT ...]
# Needs Linux namespaces, as root or where users may make them, and iproute2; exits with 77 where these are not to be had. Nothing of it is
# left when it ends. The disk is one: this is no test of shared folders.
set -euo pipefail

cannot() {
  printf 'skipped: %s\n' "$*" >&2
  exit 77
}

# What mpirun calls in place of ssh.
on_other_host() {  # HOST COMMAND ...
  exec nsenter --target "$ROOFTUNE_OTHER_HOST" --net --uts sh -c "${*:2}"
}

# All of it ends with this script, however that ends.
namespaces() { setpriv --pdeathsig KILL unshare --user --map-root-user --net --uts --pid --fork --kill-child --mount-proc "$@"; }

readonly east=10.77.0.1 west=10.77.0.2

connect() {  # PID_OF_THE_OTHER_HOST SUFFIX_OF_NAMES
  ip link add east type veth peer name west netns "$1"
  ip address add $east/24 dev east
  ip link set east up
  ip link set lo up
  hostname "east-$2"
  nsenter --target "$1" --net --uts sh -c "ip address add $west/24 dev west && ip link set west up && ip link set lo up && hostname west-$2"
}

inside() {  # SCRIPT SUFFIX_OF_NAMES RANKS PROGRAM [ARGUMENT ...]
  unshare --net --uts sleep infinity &
  local other=$!
  while [ "$(readlink /proc/$other/ns/net)" = "$(readlink /proc/self/ns/net)" ]; do sleep 0.01; done
  connect "$other" "$2" || cannot "the two namespaces cannot be connected"
  export ROOFTUNE_OTHER_HOST=$other OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
  # Not exec: the namespaces end with this shell.
  mpirun --oversubscribe --bind-to none --map-by node --host "$east,$west" --mca plm_rsh_agent "$1 --on-other-host" --mca btl self,tcp \
    -n "${@:3}"
}

case ${1:-} in
  --on-other-host) on_other_host "${@:2}" ;;
  --inside) inside "${@:2}" ;;
  *)
    [ $# -ge 2 ] || { sed -n '/^#   /s/^#   /usage: /p' "$0" >&2; exit 1; }
    for program in ip mpirun nsenter setpriv unshare; do command -v "$program" >/dev/null || cannot "$program is not installed"; done
    namespaces true 2>/dev/null || cannot "this system lets nobody make namespaces here"
    script=$(readlink -f "$0")
    # Open MPI names its files after host and process, and the numbers of processes begin anew in a namespace.
    namespaces "$script" --inside "$script" $$ "$@"
    ;;
esac
