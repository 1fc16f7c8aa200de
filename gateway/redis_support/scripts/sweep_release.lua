-- Release entries of a dead worker that were acquired; nobody has them then.
-- KEYS: sweep, deaths    ARGV: how many died while they had them, connection, ...
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
for i = 2, #ARGV do
  if redis.call('ZSCORE', KEYS[1], ARGV[i]) then
    local said = redis.call('HGET', KEYS[2], ARGV[i]) or ''
    local deaths = tonumber(string.match(said, '^(%d%d?) ') or 0) + tonumber(ARGV[1])
    redis.call('HSET', KEYS[2], ARGV[i], deaths .. ' ')
    redis.call('ZADD', KEYS[1], 'XX', string.format('%.0f', now), ARGV[i])
  end
end
return 1
