#!/bin/sh
# What starts a container of the profile `sentinel`: `sh node.sh` a node, `sh node.sh sentinel` one
# that watches. Whoever comes back asks the Sentinels first: a primary that did not would take
# writes that are thrown away a moment later. By address: a Sentinel that has to resolve the name of a
# container that is gone hangs for seconds, and sees nothing meanwhile.
set -eu

address_of() { # name: waits until it has one
  until getent hosts "$1" | awk '{ print $1; found = 1; exit } END { exit !found }'; do sleep 0.2; done
}

me=$(hostname -i | awk '{ print $1 }')
primary=""
for sentinel in sentinel-1 sentinel-2 sentinel-3; do
  [ -z "$primary" ] || break
  # Answers with nothing where no Sentinel is, or while it is this container itself.
  primary=$(timeout 1 redis-cli -h "$sentinel" -p 26379 \
    sentinel get-master-addr-by-name main 2>/dev/null | awk 'NR == 1 && /^[0-9a-f.:]+$/') || true
done
[ -n "$primary" ] || primary=$(address_of redis-1)

if [ "${1:-}" = sentinel ]; then
  # A copy: it writes down what it learns.
  { cat /etc/redis/sentinel.conf; echo "sentinel monitor main $primary 6379 2"; } >/data/sentinel.conf
  # What is set of a primary comes after it.
  cat /etc/redis/sentinel-main.conf >>/data/sentinel.conf
  exec redis-server /data/sentinel.conf --sentinel
fi
[ "$primary" != "$me" ] || primary=""
exec redis-server /etc/redis/redis.conf --protected-mode no --maxmemory 384mb \
  --repl-diskless-sync-delay 0 ${primary:+--replicaof "$primary" 6379}
