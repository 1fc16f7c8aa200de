-- A part of a channel's history, and its top, at one moment. Follows channel_epoch.
-- KEYS: stream, meta
-- ARGV: lowest id, highest id, how many (0: only the top), 1 for the newest first, the epoch that
--   is asked for (empty: any), meta_ttl_ms, the epoch that may begin, run id
-- Returns: {epoch, top, entries, 1 if keys that were none of ours were removed}
local failed = current(ARGV[7], ARGV[8])
if failed then return failed end
local entries = {}
if ARGV[3] ~= '0' and (ARGV[5] == '' or ARGV[5] == epoch) then
  if ARGV[4] == '1' then
    entries = redis.pcall('XREVRANGE', KEYS[1], ARGV[2], ARGV[1], 'COUNT', ARGV[3])
  else
    entries = redis.pcall('XRANGE', KEYS[1], ARGV[1], ARGV[2], 'COUNT', ARGV[3])
  end
  if entries.err then
    if not string.find(entries.err, 'WRONGTYPE', 1, true) then return entries end
    removed, entries = 1, {}
    begin(ARGV[7], ARGV[8])
  end
end
redis.call('PEXPIRE', KEYS[2], ARGV[6])
return {epoch, top, entries, removed}
