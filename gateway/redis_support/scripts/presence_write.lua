-- Put members of one worker into a channel, take others away, and keep the numbers.
-- KEYS: members (of that worker), workers, users (all of one channel, and of one slot)
-- ARGV: worker, revision, life_s, keep_s (for so long who has no members is remembered; 0 not at
--       all), 1 for a sweep; how many to put; and those in turn: client, info; and who is to go
-- Returns: how many members the worker has now; -1 if it was swept, or a later write came before.
--   A sweep always goes on: the dead write nothing later
--
-- The members of a worker are counted among the users if its field in workers says how many it has,
-- and has no "!" behind its revision. Whoever deletes keys or fields breaks that: then nobody's are
-- counted any more, and each worker counts its own again as soon as it writes or looks here.
local found = redis.call('HGET', KEYS[2], ARGV[1])
local last = found and tonumber(string.match(found, '^%d+ (%d+)')) or 0
local revision = tonumber(ARGV[2])
if last > revision and ARGV[5] ~= '1' then return -1 end

-- An info is <bytes of the user>:<user><the rest>: none of what a client says is decoded here.
local function user_of(info)
  local bytes, from = string.match(info, '^(%d%d?%d?%d?):()')
  return bytes and string.sub(info, from, from + tonumber(bytes) - 1) or nil
end
local have = redis.call('HLEN', KEYS[1])  -- another type is met before anything is written
local users = redis.call('HLEN', KEYS[3])
local function count(user, by)
  local number = tonumber(redis.call('HGET', KEYS[3], user) or 0) or 0
  if number + by > 0 then
    redis.call('HSET', KEYS[3], user, string.format('%.0f', number + by))
  else
    redis.call('HDEL', KEYS[3], user)
  end
end

local said, mark = string.match(found or '0 0', '^(%d+) %d+(!?)')
local broken = not said or (mark == '' and tonumber(said) ~= have)
if broken or users == 0 then
  local workers = redis.call('HGETALL', KEYS[2])
  for i = 1, #workers, 2 do
    local theirs = string.match(workers[i + 1], '^[1-9]%d* %d+$')
    if theirs and workers[i] ~= ARGV[1] then
      redis.call('HSET', KEYS[2], workers[i], theirs .. '!')
    end
  end
  redis.call('DEL', KEYS[3])
end
if have > 0 and (broken or users == 0 or mark == '!') then
  local numbers = {}
  for _, info in ipairs(redis.call('HVALS', KEYS[1])) do
    local user = user_of(info)
    if user then numbers[user] = (numbers[user] or 0) + 1 end
  end
  for user, number in pairs(numbers) do count(user, number) end
end

local at = 7
for _ = 1, tonumber(ARGV[6]) do
  local client, info = ARGV[at], ARGV[at + 1]
  local old = redis.call('HGET', KEYS[1], client)
  if old ~= info then
    redis.call('HSET', KEYS[1], client, info)
    local before, now = old and user_of(old), user_of(info)
    if before ~= now then
      if before then count(before, -1) end
      if now then count(now, 1) end
    end
  end
  at = at + 2
end
for i = at, #ARGV do
  local old = redis.call('HGET', KEYS[1], ARGV[i])
  if old then
    redis.call('HDEL', KEYS[1], ARGV[i])
    local before = user_of(old)
    if before then count(before, -1) end
  end
end

local members = redis.call('HLEN', KEYS[1])
local keep_s = tonumber(ARGV[4])
local remembered_s = keep_s
if members > 0 then
  -- A sweep that is not done leaves the revision as it was: another may go on. So does a look, that
  -- changes nothing.
  local looks = #ARGV < 7 and last > 0
  local told = (ARGV[5] == '1' or looks) and last or revision
  local field = members .. ' ' .. string.format('%.0f', told)
  if field ~= found then redis.call('HSET', KEYS[2], ARGV[1], field) end
  redis.call('EXPIRE', KEYS[1], ARGV[3])
elseif keep_s > 0 then
  local now_s = tonumber(redis.call('TIME')[1])
  local workers = redis.call('HGETALL', KEYS[2])
  for i = 1, #workers, 2 do
    local until_s = tonumber(string.match(workers[i + 1], '^0 %d+ (%d+)$') or '')
    -- Nobody is remembered for longer than members live: somebody else wrote that.
    if until_s and (until_s < now_s or until_s > now_s + tonumber(ARGV[3])) then
      redis.call('HDEL', KEYS[2], workers[i])
    elseif until_s then
      remembered_s = math.max(remembered_s, until_s - now_s)
    end
  end
  local said = string.format('0 %.0f %.0f', revision, now_s + keep_s)
  redis.call('HSET', KEYS[2], ARGV[1], said)
else
  redis.call('HDEL', KEYS[2], ARGV[1])
end
-- What all share lives as long as that of whoever lives longest.
if redis.call('EXISTS', KEYS[3]) == 1 then
  redis.call('EXPIRE', KEYS[2], ARGV[3])
  redis.call('EXPIRE', KEYS[3], ARGV[3])
elseif keep_s > 0 then
  redis.call('EXPIRE', KEYS[2], remembered_s)
end
return members
