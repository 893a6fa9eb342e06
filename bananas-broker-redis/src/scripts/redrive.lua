-- Makes dead entries ready again. ARGV: the entries. Answers how many.
local normal, high, low, dead, reasons, wake = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local back = {}
for i = 1, #ARGV do
  if redis.call('ZREM', dead, ARGV[i]) == 1 then
    redis.call('HDEL', reasons, ARGV[i])
    back[#back + 1] = ARGV[i]
  end
end
if #back > 0 then
  enter(back, normal, high, low, false)
  redis.call('ZADD', wake, 0, '')
end
return #back
