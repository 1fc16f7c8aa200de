-- Take on some entries of a dead worker that nobody has taken on, or whose sweeper has died.
-- KEYS: conns, sweep    ARGV: claim_ms, how many, life_s
-- Returns: {connection, entry, ...}
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local ends = string.format('%.0f', now + tonumber(ARGV[1]))
local wanted = tonumber(ARGV[2])
local taken = {}
local function take(connection, entry)
  redis.call('ZADD', KEYS[2], ends, connection)
  taken[#taken + 1] = connection
  taken[#taken + 1] = entry
end
for _, connection in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, wanted)) do
  local entry = redis.call('HGET', KEYS[1], connection)
  if entry then take(connection, entry) else redis.call('ZREM', KEYS[2], connection) end
end
local cursor = '0'
repeat
  local page = redis.call('HSCAN', KEYS[1], cursor, 'COUNT', wanted)
  cursor = page[1]
  for i = 1, #page[2], 2 do  -- a field may come twice: the second time it is taken
    local connection = page[2][i]
    if #taken < 2 * wanted and connection ~= 'revision'
        and not redis.call('ZSCORE', KEYS[2], connection) then
      take(connection, page[2][i + 1])
    end
  end
until cursor == '0' or #taken >= 2 * wanted
redis.call('EXPIRE', KEYS[1], ARGV[3])
redis.call('EXPIRE', KEYS[2], ARGV[3])
return taken
