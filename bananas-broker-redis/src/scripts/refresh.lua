-- Makes ready what is due and what was leased for too long, at most so many of each. Says whether either had
-- more.
local function refresh(now, most, keys)
  local more = false
  local first = redis.call('ZRANGE', keys.delayed, 0, 0, 'WITHSCORES')
  if first[2] and tonumber(first[2]) <= now then
    local due = redis.call('ZRANGE', keys.delayed, '-inf', now, 'BYSCORE', 'LIMIT', 0, most)
    redis.call('ZREM', keys.delayed, unpack(due))
    enter(due, keys, false)
    more = #due == most
  end
  first = redis.call('ZRANGE', keys.leased, 0, 0, 'WITHSCORES')
  if first[2] and tonumber(first[2]) <= now then
    local lapsed = redis.call('ZRANGE', keys.leased, '-inf', now, 'BYSCORE', 'LIMIT', 0, most)
    redis.call('ZREM', keys.leased, unpack(lapsed))
    local entries = {}
    for i = 1, #lapsed do
      entries[i] = string.sub(lapsed[i], 1, -9)
      redis.call('HINCRBY', keys.counts, entries[i], 1)
    end
    table.sort(entries, function(a, b)
      local _, x = place(a)
      local _, y = place(b)
      return x < y
    end)
    enter(entries, keys, true)
    more = more or #lapsed == most
  end
  return more
end
