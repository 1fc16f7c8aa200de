-- A supervisor saw a worker die, or a worker leaves with something unfinished: end its lease and
-- refuse it from now on. Nobody has claimed its sweep yet.
-- KEYS: workers, dead    ARGV: worker
-- Returns: 1 fenced; 0 it had left, or was fenced before
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) then return 0 end
if redis.call('ZSCORE', KEYS[2], ARGV[1]) then return 0 end
redis.call('ZADD', KEYS[2], string.format('%.0f', now), ARGV[1])
redis.call('ZADD', KEYS[1], 0, ARGV[1])
return 1
