-- The lanes of a queue. An entry is named by its number, with "p" and its priority if that is not the
-- default: "17", "18p80". So a name says where the entry belongs, whatever its message is.
--
-- A message is kept with the number of its entry before it. While it waits in the default lane, that lane
-- itself holds it, and nothing else does: a list costs the same however long it is, which a hash does not.
-- Everywhere else the hash of messages holds it under the name of its entry. The first byte of a message is
-- none that a number has.
local function place(entry)
  local number, priority = string.match(entry, '^(%d+)p(%d+)$')
  return tonumber(priority) or 50, tonumber(number or entry) or 0
end

local function score(priority, number)
  return (100 - priority) * 8796093022208 + number
end

-- Puts entries into their lanes; those of the default lane at its end, or at its front in the order given.
local function enter(entries, keys, front)
  local list, highs, lows = {}, {}, {}
  for i = 1, #entries do
    local priority, number = place(entries[i])
    if priority == 50 then
      list[#list + 1] = entries[i]
    else
      local lane = priority > 50 and highs or lows
      lane[#lane + 1] = score(priority, number)
      lane[#lane + 1] = entries[i]
    end
  end
  if #list > 0 then
    local found, items = redis.call('HMGET', keys.messages, unpack(list)), {}
    redis.call('HDEL', keys.messages, unpack(list))
    for i = 1, #list do
      -- An entry without a message is nobody's.
      local item = found[front and #list + 1 - i or i]
      if item then items[#items + 1] = item end
    end
    if #items > 0 then redis.call(front and 'LPUSH' or 'RPUSH', keys.normal, unpack(items)) end
  end
  if #highs > 0 then redis.call('ZADD', keys.high, unpack(highs)) end
  if #lows > 0 then redis.call('ZADD', keys.low, unpack(lows)) end
end

local function clock()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end

-- Whether an entry whose lease ended is still in the queue: in the default lane only its count shows it.
local function is_there(messages, counts, entry)
  return redis.call('HEXISTS', messages, entry) == 1 or redis.call('HEXISTS', counts, entry) == 1
end
