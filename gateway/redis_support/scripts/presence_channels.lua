-- List channels of one worker, strike others off, and set the revision of its presence.
-- KEYS: subs, dead, left
-- ARGV: worker, life_s; first, last (of the revisions to set it upon; both "" for any), revision
--       ("" to leave it); how many to list; those, and after them what is to be struck off
-- Returns: 1 done, 0 another revision is there and nothing is changed, 2 it is fenced or has left
-- Nobody would sweep what came after a sweep.
if redis.call('ZSCORE', KEYS[2], ARGV[1]) or redis.call('ZSCORE', KEYS[3], ARGV[1]) then return 2 end
if ARGV[3] ~= '' then
  local number = tonumber(redis.call('HGET', KEYS[1], '') or 0)
  if not number or number < tonumber(ARGV[3]) or number > tonumber(ARGV[4]) then return 0 end
end
local last = 6 + tonumber(ARGV[6])
for i = 7, last do redis.call('HSET', KEYS[1], ARGV[i], '') end
for i = last + 1, #ARGV do redis.call('HDEL', KEYS[1], ARGV[i]) end
if ARGV[5] ~= '' then redis.call('HSET', KEYS[1], '', ARGV[5]) end
redis.call('EXPIRE', KEYS[1], ARGV[2])
return 1
