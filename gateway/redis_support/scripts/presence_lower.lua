-- Give a worker's field in a channel the revision of its newest write, where somebody else has
-- written a higher one, which would refuse all that comes. Its number and mark stay.
-- KEYS: workers (of that channel)
-- ARGV: worker, what was found there, revision, that of the swept, for how long they are remembered
-- Returns: 1 done, 0 it was swept, or something else is there by now
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
local until_s = tonumber(string.match(ARGV[2], '^0 ' .. ARGV[4] .. ' (%d+)$') or '')
local now_s = tonumber(redis.call('TIME')[1])
if until_s and until_s >= now_s and until_s <= now_s + tonumber(ARGV[5]) then return 0 end
local said, mark = string.match(ARGV[2], '^(%d+) %d+(!?)')
redis.call('HSET', KEYS[1], ARGV[1], said .. ' ' .. ARGV[3] .. mark)
return 1
