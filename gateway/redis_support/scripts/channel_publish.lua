-- Store publications of one channel, give each its place and publish it. Follows channel_epoch.
-- KEYS: stream, meta, and the answer if it has a key
-- ARGV: channel, size (0: no history), ttl_ms, meta_ttl_ms, the epoch that may begin, run id,
--   version (0: none), its epoch, how long the answer is kept in ms (0: it has no key), and the
--   bodies in order: one if there is a version or a key
-- Returns: {epoch, offset of the first, 1 if it was suppressed, 1 if keys that were none of ours
--   were removed}
if ARGV[9] ~= '0' then
  local was, at = string.match(redis.call('GET', KEYS[3]) or '', '^(%a*):(%d+)$')
  if was then return {was, tonumber(at), 1, 0} end
end
local kept = ARGV[2] ~= '0'
if kept then
  local failed = current(ARGV[5], ARGV[6])
  if failed then return failed end
  if ARGV[7] ~= '0' and version and version_epoch == ARGV[8] then
    -- As text: a number of Lua is exact up to 2^53 only, which has 16 digits. What has more is no
    -- version, and would suppress all that come.
    local ours = #version <= 16 and string.match(version, '^%d+$')
    if not ours then
      removed = 1
    elseif #ARGV[7] < #version or (#ARGV[7] == #version and ARGV[7] <= version) then
      return {epoch, top, 1, removed}
    end
  end
  local function add()
    return redis.pcall('XADD', KEYS[1], 'MAXLEN', ARGV[2], string.format('%.0f-0', top + 1), 'b', ARGV[10])
  end
  local added = add()
  if added.err then
    -- A key of another type, or entries of somebody else that are after the top.
    if not (string.find(added.err, 'WRONGTYPE', 1, true) or string.find(added.err, 'equal or smaller', 1, true)) then
      return added
    end
    removed = 1
    begin(ARGV[5], ARGV[6])
    added = add()
    if added.err then return added end
  end
  local newest = top + #ARGV - 9
  for at = 11, #ARGV do
    local id = string.format('%.0f-0', top + at - 9)
    if at < #ARGV then
      redis.call('XADD', KEYS[1], id, 'b', ARGV[at])
    else
      redis.call('XADD', KEYS[1], 'MAXLEN', ARGV[2], id, 'b', ARGV[at])
    end
  end
  top = top + 1
  if ARGV[7] == '0' then
    redis.call('HSET', KEYS[2], 'top', string.format('%.0f', newest))
  else
    redis.call('HSET', KEYS[2], 'top', string.format('%.0f', newest), 'version', ARGV[7], 'version_epoch', ARGV[8])
  end
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
  redis.call('PEXPIRE', KEYS[2], ARGV[4])
end
local place = string.format('%.0f', top)
if ARGV[9] ~= '0' then redis.call('SET', KEYS[3], epoch .. ':' .. place, 'PX', ARGV[9]) end
redis.call('PUBLISH', ARGV[1], 'p' .. place .. ':' .. epoch .. ':' .. ARGV[10])
for at = 11, #ARGV do
  redis.call('PUBLISH', ARGV[1], string.format('p%.0f:', top + at - 10) .. epoch .. ':' .. ARGV[at])
end
return {epoch, top, 0, removed}
