-- A worker is no more: remove its lease. Its entries are removed before, its fence stays.
-- KEYS: workers, info    ARGV: worker
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[2], ARGV[1])
return 1
