-- Publishes messages of the default priority that are due. ARGV: the messages. Answers -1 without the queue.
local queue, numbers, messages, normal, wake = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
if redis.call('EXISTS', queue) == 0 then return -1 end
local number = redis.call('INCRBY', numbers, #ARGV) - #ARGV
local put, entries = {}, {}
for i = 1, #ARGV do
  -- Made a text once: every call would do it again. Exact up to 10^14.
  local entry = (number + i) .. ''
  entries[i] = entry
  put[2 * i - 1] = entry
  put[2 * i] = ARGV[i]
end
redis.call('HSET', messages, unpack(put))
redis.call('RPUSH', normal, unpack(entries))
redis.call('ZADD', wake, 0, '')
return 0
