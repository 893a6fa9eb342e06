-- Takes messages under a lease. ARGV: how many at most, the lease in microseconds, the token of these
-- deliveries, and about how many bytes of messages fill one answer.
-- Answers: whether more may be ready, in how many microseconds the next message is due, and the next lease
-- lapses (-1 is never), the shortest lease anybody takes; then entries, messages, and how often each was
-- delivered before. -1 without the queue.
local queue, numbers, messages, normal, high, low, delayed, leased, counts, wake =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10]
local shortest = redis.call('HGET', queue, 'shortest_lease')
if not shortest then return -1 end
local most, lease, token, room = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
local now = clock()
local ring = false
if lease < tonumber(shortest) then
  redis.call('HSET', queue, 'shortest_lease', ARGV[2])
  shortest, ring = ARGV[2], true
end
local unrefreshed = refresh(now, 500, {
  messages = messages, normal = normal, high = high, low = low, delayed = delayed, leased = leased,
  counts = counts,
})

local entries, found, leases, kept = {}, {}, {}, {}
local bytes, taken, full = 0, 0, true
local until_ = now + lease

local function take(entry, item)
  taken = taken + 1
  entries[taken] = entry
  found[taken] = item
  leases[2 * taken - 1] = until_
  leases[2 * taken] = entry .. token
  bytes = bytes + #item
end

-- Takes from a lane of entries, and says how many there were.
local function take_entries(lane, count)
  local popped, names = redis.call('ZPOPMIN', lane, count), {}
  if #popped == 0 then return 0 end
  for i = 1, #popped, 2 do names[#names + 1] = popped[i] end
  local items = redis.call('HMGET', messages, unpack(names))
  for i = 1, #names do
    -- An entry without a message is nobody's.
    if items[i] then take(names[i], items[i]) end
  end
  return #names
end

-- The same from the default lane.
local function take_items(count)
  local popped = redis.call('LPOP', normal, count)
  if not popped then return 0 end
  for i = 1, #popped do
    local item = popped[i]
    local entry = string.match(item, '^(%d+)\186')
    if not entry then
      -- Another program wrote it. It becomes one of ours, without an id and of the default priority.
      entry = string.format('%.0f', redis.call('INCR', numbers))
      item = entry .. '\186\0\50' .. item
    end
    kept[#kept + 1] = entry
    kept[#kept + 1] = item
    take(entry, item)
  end
  return #popped
end

local step = math.min(most, 50)
while step > 0 do
  local there = take_entries(high, step)
  if there < step then there = there + take_items(step - there) end
  if there < step then there = there + take_entries(low, step - there) end
  if there < step then
    full = false
    break
  end
  if bytes >= room then break end
  step = math.min(most - taken, 1 + math.floor((room - bytes) * taken / (bytes + 1)), 500)
end
if #kept > 0 then redis.call('HSET', messages, unpack(kept)) end
local before = {}
if taken > 0 then
  redis.call('ZADD', leased, unpack(leases))
  if redis.call('EXISTS', counts) == 1 then
    before = redis.call('HMGET', counts, unpack(entries))
  end
end
local function first(set)
  local first = redis.call('ZRANGE', set, 0, 0, 'WITHSCORES')
  return first[2] and math.max(0, first[2] - now) or -1
end
local more = full or unrefreshed
local due, lapse = first(delayed), -1
if taken == 0 then
  lapse = first(leased)
elseif more or due >= 0 then
  -- Somebody else may wait, and must look at what is left or learn the time.
  ring = true
end
if ring then redis.call('ZADD', wake, 0, '') end
return { more and 1 or 0, due, lapse, tonumber(shortest), entries, found, before }
