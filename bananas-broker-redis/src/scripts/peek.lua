-- Shows the first messages of a bucket and changes nothing. ARGV: the bucket, how many at most. Answers
-- messages and reasons; of what is ready, each lane in its order. -1 without the queue.
local queue, messages, normal, high, low, delayed, leased, dead, reasons =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9]
if redis.call('EXISTS', queue) == 0 then return -1 end
local bucket, most = ARGV[1], tonumber(ARGV[2])
local now = clock()
local entries, shown = {}, {}

local function add(found, cut)
  for i = 1, #found do entries[#entries + 1] = cut and string.sub(found[i], 1, -9) or found[i] end
end

if most > 0 then
  if bucket == 'ready' then
    add(redis.call('ZRANGE', leased, '-inf', now, 'BYSCORE', 'LIMIT', 0, most), true)
    add(redis.call('ZRANGE', high, 0, most - 1))
    local items = redis.call('LRANGE', normal, 0, most - 1)
    for i = 1, #items do
      local entry = #entries + 1
      entries[entry] = string.match(items[i], '^%d*')
      shown[entry] = items[i]
    end
    add(redis.call('ZRANGE', low, 0, most - 1))
    add(redis.call('ZRANGE', delayed, '-inf', now, 'BYSCORE', 'LIMIT', 0, most))
    -- Sorted by priority and, within one, left in this order, which is that of the lanes; those beside the
    -- default lane go by number.
    local places = {}
    for i = 1, #entries do
      local priority, number = place(entries[i])
      places[i] = { entries[i], priority, priority == 50 and i or number, shown[i] }
    end
    table.sort(places, function(a, b)
      if a[2] ~= b[2] then return a[2] > b[2] end
      return a[3] < b[3]
    end)
    entries, shown = {}, {}
    for i = 1, math.min(most, #places) do
      entries[i], shown[i] = places[i][1], places[i][4]
    end
  elseif bucket == 'delayed' then
    add(redis.call('ZRANGE', delayed, '(' .. string.format('%.0f', now), '+inf', 'BYSCORE', 'LIMIT', 0, most))
  else
    add(redis.call('ZRANGE', dead, 0, most - 1))
  end
end
if #entries == 0 then return { {}, {} } end
local found, told = redis.call('HMGET', messages, unpack(entries)), {}
for i = 1, #entries do found[i] = shown[i] or found[i] end
if bucket == 'dead' then told = redis.call('HMGET', reasons, unpack(entries)) end
return { found, told }
