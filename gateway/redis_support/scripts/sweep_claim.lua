-- Fence a worker whose lease has ended, and join its sweep.
-- KEYS: workers, dead    ARGV: worker, claim_ms, the end of its lease that was seen
-- Returns: 1 claimed; 0 it lives, or has renewed since; somebody else sweeps it, or it is swept
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local ends = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not ends or tonumber(ends) > now then return 0 end
-- Ended only since it was seen, perhaps because the clock was set: whoever wants it looks again.
if math.max(0, math.floor(tonumber(ends))) ~= tonumber(ARGV[3]) then return 0 end
redis.call('ZADD', KEYS[2], 'NX', string.format('%.0f', now), ARGV[1])
redis.call('ZADD', KEYS[1], string.format('%.0f', now + tonumber(ARGV[2])), ARGV[1])
return 1
