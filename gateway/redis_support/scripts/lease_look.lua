-- All leases at one moment of this server's time.
-- KEYS: workers, info, dead, born, server    ARGV: how long all that are fenced are shown, in ms
-- Returns: {now_ms, since when this server knows them, {worker, end_ms, info, ...}, {fenced worker, ...}}
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local since = now - tonumber(ARGV[1])
local leases = {}
local dead = redis.call('ZRANGEBYSCORE', KEYS[3], string.format('%.0f', since), '+inf')
local workers = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
for i = 1, #workers, 2 do
  leases[#leases + 1] = workers[i]
  leases[#leases + 1] = workers[i + 1]
  leases[#leases + 1] = redis.call('HGET', KEYS[2], workers[i]) or ''
  local died = redis.call('ZSCORE', KEYS[3], workers[i])
  if died and tonumber(died) < since then dead[#dead + 1] = workers[i] end
end
local born = redis.call('GET', KEYS[4]) or 0
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)') or ''
if born ~= 0 and redis.call('GET', KEYS[5]) ~= run then born = string.format('%.0f', now) end
return {now, born, leases, dead}
