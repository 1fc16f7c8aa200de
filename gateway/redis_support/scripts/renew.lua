-- Extend a lease, unless its worker is buried.
-- KEYS: workers, info, dead, born    ARGV: worker, lease_ms, info
-- Returns: 1 renewed, 0 buried
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now - 86400000)
if redis.call('ZSCORE', KEYS[3], ARGV[1]) then return 0 end
redis.call('ZADD', KEYS[1], string.format('%.0f', now + tonumber(ARGV[2])), ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
redis.call('SET', KEYS[4], string.format('%.0f', now), 'NX')
return 1
