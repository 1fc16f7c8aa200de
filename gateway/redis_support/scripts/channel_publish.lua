-- Store a publication, give it its place and publish it. Follows channel_epoch.
-- KEYS: stream, meta, and the answer if it has a key
-- ARGV: channel, body, size (0: no history), ttl_ms, meta_ttl_ms, the epoch that may begin, run id,
--   version (0: none), its epoch, how long the answer is kept in ms (0: it has no key)
-- Returns: {epoch, offset, 1 if it was suppressed, 1 if keys that were none of ours were removed}
if ARGV[10] ~= '0' then
  local was, at = string.match(redis.call('GET', KEYS[3]) or '', '^(%a*):(%d+)$')
  if was then return {was, tonumber(at), 1, 0} end
end
if ARGV[3] ~= '0' then
  local failed = current(ARGV[6], ARGV[7])
  if failed then return failed end
  if ARGV[8] ~= '0' and version and version_epoch == ARGV[9] then
    -- As text: a number of Lua is exact up to 2^53 only.
    if #ARGV[8] < #version or (#ARGV[8] == #version and ARGV[8] <= version) then
      return {epoch, top, 1, removed}
    end
  end
  local function add()
    return redis.pcall('XADD', KEYS[1], 'MAXLEN', ARGV[3], string.format('%.0f-0', top + 1), 'b', ARGV[2])
  end
  local added = add()
  if added.err then
    -- A key of another type, or entries of somebody else that are after the top.
    if not (string.find(added.err, 'WRONGTYPE', 1, true) or string.find(added.err, 'equal or smaller', 1, true)) then
      return added
    end
    removed = 1
    begin(ARGV[6], ARGV[7])
    added = add()
    if added.err then return added end
  end
  top = top + 1
  redis.call('HSET', KEYS[2], 'top', string.format('%.0f', top))
  if ARGV[8] ~= '0' then redis.call('HSET', KEYS[2], 'version', ARGV[8], 'version_epoch', ARGV[9]) end
  redis.call('PEXPIRE', KEYS[1], ARGV[4])
  redis.call('PEXPIRE', KEYS[2], ARGV[5])
end
local place = string.format('%.0f', top)
if ARGV[10] ~= '0' then redis.call('SET', KEYS[3], epoch .. ':' .. place, 'PX', ARGV[10]) end
redis.call('PUBLISH', ARGV[1], 'p' .. place .. ':' .. epoch .. ':' .. ARGV[2])
return {epoch, top, 0, removed}
