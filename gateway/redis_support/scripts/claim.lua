-- Bury a worker whose lease has ended, and take on its sweep.
-- KEYS: workers, dead    ARGV: worker, claim_ms
-- Returns: 1 claimed; 0 it lives, somebody else sweeps it, or it is swept already
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local ends = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not ends or tonumber(ends) > now then return 0 end
redis.call('ZADD', KEYS[2], 'NX', string.format('%.0f', now), ARGV[1])
redis.call('ZADD', KEYS[1], string.format('%.0f', now + tonumber(ARGV[2])), ARGV[1])
return 1
