-- The lanes of a queue. An entry is named by its number, with "p" and its priority if that is not the
-- default: "17", "18p80". So a name says where the entry belongs, whatever its message is. Names that other
-- programs made up belong to the default lane.
local function place(entry)
  local number, priority = string.match(entry, '^(%d+)p(%d+)$')
  return tonumber(priority) or 50, tonumber(number or entry) or 0
end

local function score(priority, number)
  return (100 - priority) * 8796093022208 + number
end

-- Puts entries into their lanes; those of the default lane at its end, or at its front in the order given.
local function enter(entries, normal, high, low, front)
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
    if front then
      local reversed = {}
      for i = 1, #list do reversed[i] = list[#list + 1 - i] end
      redis.call('LPUSH', normal, unpack(reversed))
    else
      redis.call('RPUSH', normal, unpack(list))
    end
  end
  if #highs > 0 then redis.call('ZADD', high, unpack(highs)) end
  if #lows > 0 then redis.call('ZADD', low, unpack(lows)) end
end

local function clock()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end
