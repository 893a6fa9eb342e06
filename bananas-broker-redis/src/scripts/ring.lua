-- Wakes one who waits, if there is anything to look at.
local normal, high, low, delayed, leased, wake = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local there = redis.call('EXISTS', normal, high, low, delayed, leased)
if there > 0 then redis.call('ZADD', wake, 0, '') end
return there
