-- Extend a lease, unless its worker is fenced or has left.
-- KEYS: workers, info, dead, born, server, left    
-- ARGV: worker, lease_ms, info, longest_ms, fenced_ms, left_ms, how many of either are kept
-- Returns: 1 renewed, 0 fenced, 2 it has left
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
-- By age only what is many: a clock set forward by days must not make the fenced forget it.
local function forget(key, before)
  if #redis.call('ZRANGE', key, ARGV[7], ARGV[7]) > 0 then
    redis.call('ZREMRANGEBYSCORE', key, '-inf', before)
  end
end
forget(KEYS[3], now - tonumber(ARGV[5]))
if redis.call('ZSCORE', KEYS[3], ARGV[1]) then return 0 end
forget(KEYS[6], now - tonumber(ARGV[6]))
if redis.call('ZSCORE', KEYS[6], ARGV[1]) then return 2 end
-- Nobody yet, at a time of long ago: while the slot of a Cluster moves, what is about a key that
-- never was is refused until all of the slot has moved.
for _, key in ipairs({KEYS[3], KEYS[6]}) do
  if redis.call('EXISTS', key) == 0 then redis.call('ZADD', key, 0, '') end
end
-- What no worker can have written by this clock: a lease that ends too late (the clock was set
-- back, or it has no end), and a birth that is no time.
local latest = now + tonumber(ARGV[4])
local far = redis.call('ZRANGEBYSCORE', KEYS[1], string.format('(%.0f', latest), '+inf')
for _, worker in ipairs(far) do
  redis.call('ZADD', KEYS[1], string.format('%.0f', now + tonumber(ARGV[2])), worker)
end
local birth = redis.call('GET', KEYS[4])
if birth and not string.match(birth, '^%d+$') then redis.call('DEL', KEYS[4]) end
redis.call('ZADD', KEYS[1], string.format('%.0f', now + tonumber(ARGV[2])), ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
-- Another server may lack what its predecessor knew: all that it has was born when it took over.
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)') or ''
if redis.call('GET', KEYS[5]) ~= run then
  redis.call('SET', KEYS[5], run)
  redis.call('SET', KEYS[4], string.format('%.0f', now))
else
  redis.call('SET', KEYS[4], string.format('%.0f', now), 'NX')
end
return 1
