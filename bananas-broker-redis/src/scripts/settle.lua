-- Settles deliveries. ARGV: of each its kind, its entry and token, a delay in microseconds or a reason, when
-- the replacement is due (or 0), its priority, and the replacement. Kinds: release, return (a release that was
-- no delivery), retry, dead. Answers of each 0 if it was ours, 1 if it was settled before, 2 if its lease was
-- lost.
local messages, normal, high, low, delayed, leased, counts, numbers, dead, reasons, wake =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10], KEYS[11]
local keys = { messages = messages, normal = normal, high = high, low = low }
local now = clock()
local answers, back = {}, {}

local function wait(entry, due)
  if due > now then
    redis.call('ZADD', delayed, due, entry)
    return true
  end
  return false
end

for i = 1, #ARGV / 6 do
  local kind, held, what, due, priority, message =
    ARGV[6 * i - 5], ARGV[6 * i - 4], ARGV[6 * i - 3], ARGV[6 * i - 2], ARGV[6 * i - 1], ARGV[6 * i]
  local entry = string.sub(held, 1, -9)
  local ends = redis.call('ZSCORE', leased, held)
  if not ends or tonumber(ends) <= now then
    answers[i] = is_there(messages, counts, entry) and 2 or 1
  else
    answers[i] = 0
    redis.call('ZREM', leased, held)
    local replaced = entry
    if message ~= '' then
      local _, number = place(entry)
      if kind == 'retry' or number == 0 then number = redis.call('INCR', numbers) end
      replaced = number .. (priority ~= '50' and 'p' .. priority or '')
      redis.call('HDEL', messages, entry)
      redis.call('HSET', messages, replaced, number .. message)
    end
    if kind == 'release' or kind == 'return' then
      if kind == 'release' then redis.call('HINCRBY', counts, entry, 1) end
      if not wait(entry, now + tonumber(what)) then back[#back + 1] = entry end
    elseif kind == 'retry' then
      redis.call('HDEL', counts, entry)
      if not wait(replaced, math.max(now + tonumber(what), tonumber(due))) then
        enter({ replaced }, keys, false)
      end
    else
      redis.call('HDEL', counts, entry)
      redis.call('ZADD', dead, redis.call('INCR', numbers), replaced)
      redis.call('HSET', reasons, replaced, what)
    end
  end
end
-- What was given back is ahead of all that was not delivered yet, in its old order.
table.sort(back, function(a, b)
  local _, x = place(a)
  local _, y = place(b)
  return x < y
end)
enter(back, keys, true)
redis.call('ZADD', wake, 0, '')
return answers
