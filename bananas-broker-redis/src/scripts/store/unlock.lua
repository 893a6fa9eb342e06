-- Forgets unique keys whose time is over. ARGV: the time, then the keys. Answers how many.
local now, forgotten = tonumber(ARGV[1]), 0
for i = 2, #ARGV do
  local ends = redis.call('ZSCORE', unique_ends, ARGV[i])
  if ends and tonumber(ends) <= now then
    redis.call('ZREM', unique_ends, ARGV[i])
    redis.call('HDEL', uniques, ARGV[i])
    forgotten = forgotten + 1
  end
end
return forgotten
