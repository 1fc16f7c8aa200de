#!/bin/sh
# What starts a container of the profile `sentinel`: `sh node.sh` a node, `sh node.sh sentinel` one
# that watches. Whoever comes back asks the Sentinels first: a primary that did not would take
# writes that are thrown away a moment later. By address: a Sentinel that has to resolve the name of a
# container that is gone hangs for seconds, and sees nothing meanwhile.
#
# Where no Sentinel answers, the nodes are asked: Sentinels that all begin anew and watch a replica
# would find nobody to promote, for ever, and name it to workers as the primary.
set -eu

# Of the nodes; Sentinels have none, and refuse whoever shows one. See deploy/compose/password.yml.
password=$(cat /run/secrets/redis_password 2>/dev/null) || true

address_of() { # name: waits until it has one
  until getent hosts "$1" | awk '{ print $1; found = 1; exit } END { exit !found }'; do sleep 0.2; done
}

said_by_sentinels() {
  for sentinel in sentinel-1 sentinel-2 sentinel-3; do
    # Answers with nothing where no Sentinel is, or while it is this container itself.
    timeout 1 redis-cli -h "$sentinel" -p 26379 sentinel get-master-addr-by-name main 2>/dev/null |
      awk 'NR == 1 && /^[0-9a-f.:]+$/ { print; found = 1 } END { exit !found }' && return
  done
}

# The primary that most nodes follow; without one, whom they followed and wait for.
said_by_nodes() { # in a shell of its own
  [ -z "$password" ] || export REDISCLI_AUTH="$password"
  for node in redis-1 redis-2 redis-3; do
    timeout 1 redis-cli -h "$node" info replication 2>/dev/null | tr -d '\r' | awk -v node="$node" '
      { colon = index($0, ":"); told[substr($0, 1, colon - 1)] = substr($0, colon + 1) }
      END {
        if (told["role"] == "master") print 1 + told["connected_slaves"], node
        if (told["role"] == "slave") print 0, told["master_host"]
      }'
  done | sort -rn | awk 'NR == 1 { print $2 }'
}

me=$(hostname -i | awk '{ print $1 }')
primary=$(said_by_sentinels) || true
[ -n "$primary" ] || primary=$(said_by_nodes)
case "${primary:=redis-1}" in redis-*) primary=$(address_of "$primary") ;; esac

if [ "${1:-}" = sentinel ]; then
  # A copy: it writes down what it learns.
  { cat /etc/redis/sentinel.conf; echo "sentinel monitor main $primary 6379 2"; } >/data/sentinel.conf
  # What is set of a primary comes after it.
  cat /etc/redis/sentinel-main.conf >>/data/sentinel.conf
  [ -z "$password" ] || echo "sentinel auth-pass main $password" >>/data/sentinel.conf
  exec redis-server /data/sentinel.conf --sentinel
fi
[ "$primary" != "$me" ] || primary=""
{
  echo "include /etc/redis/redis.conf"
  [ -z "$password" ] || printf '%s\n' "requirepass $password" "masterauth $password"
} >/data/redis.conf
exec redis-server /data/redis.conf --protected-mode no --maxmemory 384mb \
  --repl-diskless-sync-delay 0 ${primary:+--replicaof "$primary" 6379}
