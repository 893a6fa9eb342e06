-- Gives back what was taken with a token whose answer was lost, as if it had not been delivered. ARGV: the
-- token, and between how many microseconds from now its leases end.
local leased, wake = KEYS[5], KEYS[6]
local keys = { messages = KEYS[1], normal = KEYS[2], high = KEYS[3], low = KEYS[4] }
local token = ARGV[1]
local now = clock()
local found = redis.call('ZRANGE', leased, now + tonumber(ARGV[2]), now + tonumber(ARGV[3]), 'BYSCORE')
local back = {}
for i = 1, #found do
  if string.sub(found[i], -8) == token then
    redis.call('ZREM', leased, found[i])
    back[#back + 1] = string.sub(found[i], 1, -9)
  end
end
if #back > 0 then
  table.sort(back, function(a, b)
    local _, x = place(a)
    local _, y = place(b)
    return x < y
  end)
  enter(back, keys, true)
  redis.call('ZADD', wake, 0, '')
end
return #back
