-- Makes dead entries ready again. ARGV: the entries. Answers how many.
local dead, reasons, wake = KEYS[5], KEYS[6], KEYS[7]
local keys = { messages = KEYS[1], normal = KEYS[2], high = KEYS[3], low = KEYS[4] }
local back = {}
for i = 1, #ARGV do
  if redis.call('ZREM', dead, ARGV[i]) == 1 then
    redis.call('HDEL', reasons, ARGV[i])
    back[#back + 1] = ARGV[i]
  end
end
if #back > 0 then
  enter(back, keys, false)
  redis.call('ZADD', wake, 0, '')
end
return #back
