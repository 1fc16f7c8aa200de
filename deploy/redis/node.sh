#!/bin/sh
# What starts a container of the profile `sentinel`: `sh node.sh` a node, `sh node.sh sentinel` one
# that watches. Whoever comes back asks the Sentinels first: a primary that did not would take
# writes that are thrown away a moment later. By address: a Sentinel that has to resolve the name of a
# container that is gone hangs for seconds, and sees nothing meanwhile.
#
# Where no Sentinel answers, the nodes are asked: Sentinels that all begin anew and watch a replica
# would find nobody to promote, for ever, and name it to workers as the primary. They know no node that
# does not follow it either, so such Sentinels make all of them follow.
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

ask() ( # address command…: in a shell of its own
  [ -z "$password" ] || export REDISCLI_AUTH="$password"
  at=$1; shift
  timeout 1 redis-cli -h "$at" "$@" 2>/dev/null
)

# A line for each node that answers: its role, where it was promoted or how far it has come, how many
# follow it, its address, whom it follows.
nodes() {
  for node in redis-1 redis-2 redis-3; do
    address=$(timeout 1 getent hosts "$node" | awk '{ print $1; exit }')
    [ -z "$address" ] || ask "$address" info replication | tr -d '\r' | awk -v at="$address" '
      { colon = index($0, ":"); told[substr($0, 1, colon - 1)] = substr($0, colon + 1) }
      END {
        if (told["role"] == "master") print "master", told["second_repl_offset"], told["connected_slaves"], at, "-"
        if (told["role"] == "slave") print "slave", told["slave_repl_offset"], 0, at, told["master_host"]
      }'
  done
}

# Of two, the one that was promoted last: amid a switch most still follow the other.
primary_of() {
  awk '$1 == "master"' | sort -k2,2nr -k3,3nr | awk 'NR == 1 { print $4 }'
}

# Whom nodes without a primary followed, and wait for.
followed_in() {
  awk '$1 == "slave" { print $5; exit }'
}

# The replica that has most. One that has never been sent anything is at 1.
most_of() {
  awk '$1 == "slave"' | sort -k2,2nr -k4,4 | awk 'NR == 1 { print $4 }'
}

# The primary, for Sentinels that begin anew. A node that restarts is waited for; without a primary it
# is the replica that has most, and whoever followed another follows it.
settled_by_nodes() {
  for _ in 1 2 3 4 5; do
    known=$(nodes)
    settled=$(echo "$known" | primary_of)
    [ -z "$settled" ] || break
    sleep 1
  done
  if [ -z "$settled" ]; then
    settled=$(echo "$known" | most_of)
    [ -n "$settled" ] || return 0
    ask "$settled" replicaof no one >/dev/null || true
  fi
  echo "$known" | awk -v to="$settled" '$4 != to && $5 != to { print $4 }' | while read -r astray; do
    ask "$astray" replicaof "$settled" 6379 >/dev/null || true
  done
  echo "$settled"
}

me=$(hostname -i | awk '{ print $1 }')
primary=$(said_by_sentinels) || true
if [ -z "$primary" ] && [ "${1:-}" = sentinel ]; then
  primary=$(settled_by_nodes)
elif [ -z "$primary" ]; then
  known=$(nodes)
  primary=$(echo "$known" | primary_of)
  [ -n "$primary" ] || primary=$(echo "$known" | followed_in)
fi
[ -n "$primary" ] || primary=$(address_of redis-1)

# It has nothing, and who follows it and has something would be left with nothing: first that one is
# given the time to be the primary. Where no Sentinel is, it is followed until Sentinels come.
if [ "${1:-}" != sentinel ] && [ "$primary" = "$me" ]; then
  successor=$(nodes | awk '$2 > 1' | most_of)
  tries=15
  while [ -n "$successor" ] && [ "$primary" = "$me" ] && [ "$tries" -gt 0 ]; do
    sleep 1
    tries=$((tries - 1))
    primary=$(said_by_sentinels) || primary=$successor
  done
fi

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
