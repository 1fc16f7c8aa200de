-- Remove keys of ours that somebody has given another type: nobody could use or renew them.
-- KEYS: workers, info, dead, born, and any more    ARGV: the type that each should have
-- Returns: the keys that were removed
local removed = {}
for i, key in ipairs(KEYS) do
  local found = redis.call('TYPE', key).ok
  if found ~= 'none' and found ~= ARGV[i] then
    redis.call('DEL', key)
    removed[#removed + 1] = key
    -- Leases that are lost are no absence: with another birth nobody believes in one.
    if i == 1 then redis.call('DEL', KEYS[4]) end
  end
end
return removed
