-- Write entries of one worker, if what is there is what it believes; or remove all and begin anew.
-- KEYS: conns, users, dead, left
-- ARGV: first, last (of the revisions to write upon; both "" to begin anew), revision, life_s,
--       how many entries to put, to drop, users to put, to drop; worker; and all those in turn
-- Returns: 1 written, 0 something else is there, 2 it is fenced or has left
-- Nobody would sweep what came after a sweep.
if redis.call('ZSCORE', KEYS[3], ARGV[9]) or redis.call('ZSCORE', KEYS[4], ARGV[9]) then return 2 end
if ARGV[1] == '' then
  redis.call('DEL', KEYS[1], KEYS[2])
else
  local found = redis.pcall('HGET', KEYS[1], 'revision')
  if type(found) == 'table' then return 0 end
  local number = tonumber(found or 0)
  if not number or number < tonumber(ARGV[1]) or number > tonumber(ARGV[2]) then return 0 end
end
local at = 10
local function change(command, key, count, width)
  local last = at + count * width - 1
  while at <= last do
    local to = math.min(at + 999, last)  -- unpack has a bound; even, for names come with values
    redis.call(command, key, unpack(ARGV, at, to))
    at = to + 1
  end
end
change('HSET', KEYS[1], tonumber(ARGV[5]), 2)
change('HDEL', KEYS[1], tonumber(ARGV[6]), 1)
change('HSET', KEYS[2], tonumber(ARGV[7]), 2)
change('HDEL', KEYS[2], tonumber(ARGV[8]), 1)
redis.call('HSET', KEYS[1], 'revision', ARGV[3])
redis.call('EXPIRE', KEYS[1], ARGV[4])
redis.call('EXPIRE', KEYS[2], ARGV[4])
return 1
