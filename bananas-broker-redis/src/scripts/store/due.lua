-- Looks for jobs whose time has come and for those of owners that are gone, and marks these owners so that they
-- can neither take nor settle any more. ARGV: the time, how many of either at most, the owners. Answers when the
-- next job is due (or empty), the ids of due jobs, and those of the jobs that the owners were running.
local now, most = tonumber(ARGV[1]), tonumber(ARGV[2])
local is_gone, marks = {}, {}
for i = 3, #ARGV do
  is_gone[ARGV[i]] = true
  marks[#marks + 1] = ARGV[i]
  marks[#marks + 1] = 'x'
end
local orphans = {}
if #marks > 0 then
  for i = 1, #marks, 1000 do redis.call('HSET', owners, unpack(marks, i, math.min(i + 999, #marks))) end
  local all = redis.call('HGETALL', running)
  for i = 1, #all, 2 do
    if #orphans < most and is_gone[sub(all[i + 1], 1, 16)] then
      if redis.call('HEXISTS', standings, all[i]) == 1 then
        orphans[#orphans + 1] = all[i]
      else
        redis.call('HDEL', running, all[i])
      end
    end
  end
end
-- Who waits without a standing is nobody, and would be due for ever.
local found = {}
for _, id in ipairs(redis.call('ZRANGE', due, '-inf', now, 'BYSCORE', 'LIMIT', 0, most)) do
  if redis.call('HEXISTS', standings, id) == 1 then
    found[#found + 1] = id
  else
    redis.call('ZREM', due, id)
  end
end
local first = redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')[2]
return { first or '', found, orphans }
