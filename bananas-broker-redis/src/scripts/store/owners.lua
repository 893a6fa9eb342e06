-- Shows the owners. ARGV: some of them, or none for all. Answers the time, and of each its id and row.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
if #ARGV == 0 then return { now, redis.call('HGETALL', KEYS[1]) } end
local rows = {}
for i = 1, #ARGV do
  rows[2 * i - 1] = ARGV[i]
  rows[2 * i] = redis.call('HGET', KEYS[1], ARGV[i]) or ''
end
return { now, rows }
