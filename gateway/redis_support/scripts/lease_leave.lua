-- A worker ends on purpose: remove its lease, and let no renewal that is still under way put it back.
-- KEYS: workers, info, left    ARGV: worker
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[2], ARGV[1])
redis.call('ZADD', KEYS[3], string.format('%.0f', now), ARGV[1])
return 1
