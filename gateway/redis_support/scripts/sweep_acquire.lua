-- Acquire some entries of a dead worker that nobody has acquired, or whose sweeper has ended.
-- KEYS: conns, sweep, deaths, workers, dead, left
-- ARGV: claim_ms, how many, sweeper, 1 to acquire one that may be poison when nothing else is left
-- Returns: {connection, entry, how many died while they had it, ...}
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local ends = string.format('%.0f', now + tonumber(ARGV[1]))
local most = 3 * tonumber(ARGV[2])
local acquired = {}
local function acquire(connection, entry, deaths)
  redis.call('ZADD', KEYS[2], ends, connection)
  redis.call('HSET', KEYS[3], connection, deaths .. ' ' .. ARGV[3])
  acquired[#acquired + 1] = connection
  acquired[#acquired + 1] = entry
  acquired[#acquired + 1] = deaths
end
-- Who has left, or lives and only did not extend it, did not die of it.
local verdicts = { [''] = 0, [ARGV[3]] = 0 }
local function died(holder)
  if not verdicts[holder] then
    local lease = tonumber(redis.call('ZSCORE', KEYS[4], holder) or 0)
    local lives = lease > now or redis.call('ZSCORE', KEYS[6], holder)
    verdicts[holder] = (redis.call('ZSCORE', KEYS[5], holder) or not lives) and 1 or 0
  end
  return verdicts[holder]
end
-- Nobody holds one for longer than that: the clock was set back, or somebody else wrote it.
for _, connection in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. ends, '+inf')) do
  redis.call('ZADD', KEYS[2], ends, connection)
end
local poison, fewest
for _, connection in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, 1000)) do
  if #acquired >= most then break end
  local entry = redis.call('HGET', KEYS[1], connection)
  if entry then
    local said = redis.call('HGET', KEYS[3], connection) or ''
    local before, holder = string.match(said, '^(%d%d?) (%w*)$')
    local deaths = before and tonumber(before) + died(holder) or 0
    if deaths == 0 then
      acquire(connection, entry, 0)
    elseif not fewest or deaths < fewest then
      poison, fewest = {connection, entry, deaths}, deaths
    end
  else
    redis.call('ZREM', KEYS[2], connection)
    redis.call('HDEL', KEYS[3], connection)
  end
end
if #acquired < most and redis.call('HLEN', KEYS[1]) > redis.call('ZCARD', KEYS[2]) then
  local cursor = '0'
  repeat
    local page = redis.call('HSCAN', KEYS[1], cursor, 'COUNT', ARGV[2])
    cursor = page[1]
    for i = 1, #page[2], 2 do  -- a field may come twice: the second time it is acquired
      local connection = page[2][i]
      if #acquired < most and connection ~= 'revision'
          and not redis.call('ZSCORE', KEYS[2], connection) then
        acquire(connection, page[2][i + 1], 0)
      end
    end
  until cursor == '0' or #acquired >= most
end
if #acquired == 0 and poison and ARGV[4] == '1' then acquire(unpack(poison)) end
-- They live as long as the entries, which no sweep keeps alive: the hour after a death has an end.
local life_ms = redis.call('PTTL', KEYS[1])
if life_ms > 0 then
  redis.call('EXPIRE', KEYS[2], math.ceil(life_ms / 1000))
  redis.call('EXPIRE', KEYS[3], math.ceil(life_ms / 1000))
end
return acquired
