-- Removes messages of a bucket, at most so many. ARGV: the bucket, how many. Answers how many, and
-- whether there may be more; -1 without the queue.
local queue, messages, normal, high, low, delayed, leased, counts, dead, reasons =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10]
if redis.call('EXISTS', queue) == 0 then return -1 end
local bucket, most = ARGV[1], tonumber(ARGV[2])
local now = clock()
local entries = {}

local function pop(set)
  local popped = redis.call('ZPOPMIN', set, most - #entries)
  for i = 1, #popped, 2 do entries[#entries + 1] = popped[i] end
end

local more = false
if bucket == 'ready' then
  -- What is due or was leased for too long is ready.
  more = refresh(now, most, {
    messages = messages, normal = normal, high = high, low = low, delayed = delayed, leased = leased,
    counts = counts,
  })
  pop(high)
  local popped = #entries < most and redis.call('LPOP', normal, most - #entries)
  if popped then
    for i = 1, #popped do entries[#entries + 1] = string.match(popped[i], '^%d*') end
  end
  pop(low)
elseif bucket == 'delayed' then
  local after = '(' .. string.format('%.0f', now)
  entries = redis.call('ZRANGE', delayed, after, '+inf', 'BYSCORE', 'LIMIT', 0, most)
  if #entries > 0 then redis.call('ZREM', delayed, unpack(entries)) end
else
  pop(dead)
end
if #entries > 0 then
  redis.call('HDEL', messages, unpack(entries))
  redis.call('HDEL', counts, unpack(entries))
  redis.call('HDEL', reasons, unpack(entries))
end
return { #entries, (more or #entries == most) and 1 or 0 }
