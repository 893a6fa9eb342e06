-- Enlists an owner or renews its lease. ARGV: the owner, the lease in microseconds, what is known of it. A row is
-- a letter, a time of sixteen digits, and what is known: "a" until the end of its lease; "g" since it was declared
-- dead, "d" when besides nothing of it is left. Answers when the lease ends, or -1.
local owner, lease = ARGV[1], tonumber(ARGV[2])
local row = redis.call('HGET', KEYS[1], owner)
if row and string.sub(row, 1, 1) ~= 'a' then return -1 end
local time = redis.call('TIME')
local ends = time[1] * 1000000 + time[2] + lease
redis.call('HSET', KEYS[1], owner, string.format('a%016.0f', ends) .. ARGV[3])
return ends
