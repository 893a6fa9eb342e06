-- Takes messages under a lease. ARGV: how many at most, the lease in microseconds, the token of these
-- deliveries, and about how many bytes of messages fill one answer.
-- Answers: whether more may be ready, in how many microseconds the next message is due, and the next lease
-- lapses (-1 is never), the shortest lease anybody takes; then entries, messages, and how often each was
-- delivered before. -1 without the queue.
local queue, messages, normal, high, low, delayed, leased, counts, wake =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9]
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
  normal = normal, high = high, low = low, delayed = delayed, leased = leased, counts = counts,
})

local function pop(count)
  local entries = {}
  local function all(lane)
    local popped = redis.call('ZPOPMIN', lane, count)
    for i = 1, #popped, 2 do entries[#entries + 1] = popped[i] end
    count = count - #popped / 2
  end
  all(high)
  if count > 0 then
    local popped = redis.call('LPOP', normal, count)
    if popped then
      if #entries == 0 then
        entries = popped
      else
        for i = 1, #popped do entries[#entries + 1] = popped[i] end
      end
      count = count - #popped
    end
  end
  if count > 0 then all(low) end
  return entries
end

local entries, found, leases = {}, {}, {}
local bytes, taken, full = 0, 0, true
local until_ = now + lease
local step = math.min(most, 50)
while step > 0 do
  local popped = pop(step)
  if #popped > 0 then
    local values = redis.call('HMGET', messages, unpack(popped))
    for i = 1, #popped do
      -- An entry without a message is nobody's.
      if values[i] then
        taken = taken + 1
        entries[taken] = popped[i]
        found[taken] = values[i]
        leases[2 * taken - 1] = until_
        leases[2 * taken] = popped[i] .. token
        bytes = bytes + #values[i]
      end
    end
  end
  if #popped < step then
    full = false
    break
  end
  if bytes >= room then break end
  step = math.min(most - taken, 1 + math.floor((room - bytes) * taken / (bytes + 1)), 500)
end
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
