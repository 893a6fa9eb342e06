-- Wakes one who waits, if there is anything to look at.
local there = redis.call('EXISTS', unpack(KEYS, 2))
if there > 0 then redis.call('ZADD', KEYS[1], 0, '') end
return there
