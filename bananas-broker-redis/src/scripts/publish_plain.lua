-- Publishes messages of the default priority that are due. ARGV: the messages. Answers -1 without the queue.
local queue, numbers, normal, wake = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
if redis.call('EXISTS', queue) == 0 then return -1 end
local number = redis.call('INCRBY', numbers, #ARGV) - #ARGV
local items = {}
-- Exact up to 10^14.
for i = 1, #ARGV do items[i] = (number + i) .. ARGV[i] end
redis.call('RPUSH', normal, unpack(items))
redis.call('ZADD', wake, 0, '')
return 0
