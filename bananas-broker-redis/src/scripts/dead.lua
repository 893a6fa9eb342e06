-- Lists dead entries by the order in which they died. ARGV: after which, how many at most. Answers entries,
-- their places, and the first bytes of their messages, which hold their ids. -1 without the queue.
local queue, messages, dead = KEYS[1], KEYS[2], KEYS[3]
if redis.call('EXISTS', queue) == 0 then return -1 end
local found = redis.call('ZRANGE', dead, '(' .. ARGV[1], '+inf', 'BYSCORE', 'LIMIT', 0, tonumber(ARGV[2]), 'WITHSCORES')
local entries, places, heads = {}, {}, {}
for i = 1, #found, 2 do
  entries[#entries + 1] = found[i]
  places[#places + 1] = tonumber(found[i + 1])
  local message = redis.call('HGET', messages, found[i])
  heads[#heads + 1] = message and string.sub(message, 1, 48) or ''
end
return { entries, places, heads }
