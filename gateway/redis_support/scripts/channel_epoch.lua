-- The beginning of channel_publish and of channel_read: in which epoch a channel is, and how far.
-- KEYS: stream, meta, ...
-- Another epoch begins where there is none, where another server took over (it may lack the newest
-- offsets that its predecessor gave), and where the keys are none of ours. A channel may come from
-- other servers with all that it has, as slots of a Cluster do: from those behind the first, which
-- are run ids, or the first eight letters of one.
local epoch, top, removed = '', 0, 0
local version, version_epoch

local function begin(new, servers)
  redis.call('DEL', KEYS[1], KEYS[2])
  epoch, top, version, version_epoch = new, 0, nil, nil
  redis.call('HSET', KEYS[2], 'epoch', new, 'top', '0', 'server', string.match(servers, '^%S*'))
end

local function current(new, servers)
  local meta = redis.pcall('HMGET', KEYS[2], 'epoch', 'top', 'server', 'version', 'version_epoch')
  if meta.err then
    if not string.find(meta.err, 'WRONGTYPE', 1, true) then return meta end
    removed = 1
    return begin(new, servers)
  end
  if not (meta[1] or meta[2] or meta[3]) then return begin(new, servers) end
  local ours = string.match(meta[1] or '', '^%a+$') and string.match(meta[2] or '', '^%d+$') and #meta[2] <= 15
  if not ours then removed = 1 end
  if not ours then return begin(new, servers) end
  local own = string.match(servers, '^%S*')
  if meta[3] ~= own then
    local known = false
    for _, name in ipairs({meta[3] or '', string.sub(meta[3] or '', 1, 8)}) do
      known = known or name ~= '' and string.find(servers .. ' ', ' ' .. name .. ' ', 1, true)
    end
    if not known then return begin(new, servers) end
    redis.call('HSET', KEYS[2], 'server', own)
  end
  epoch, top, version, version_epoch = meta[1], tonumber(meta[2]), meta[4], meta[5]
end

