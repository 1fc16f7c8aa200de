#!/bin/sh
# A node of the profile `sentinel`: follows whom the Sentinels name, or else the first node.
# A primary that comes back without asking would take writes that are thrown away a moment later.
set -eu
me=$(hostname)
primary=redis-1
for sentinel in sentinel-1 sentinel-2 sentinel-3; do
  named=$(timeout 1 redis-cli -h "$sentinel" -p 26379 sentinel get-master-addr-by-name main 2>/dev/null | head -n 1) || continue
  case $named in redis-*) primary=$named && break ;; esac
done
if [ "$primary" = "$me" ]; then set --; else set -- --replicaof "$primary" 6379; fi
exec redis-server /etc/redis/redis.conf --protected-mode no --maxmemory 384mb \
  --replica-announce-ip "$me" --repl-diskless-sync-delay 0 "$@"
