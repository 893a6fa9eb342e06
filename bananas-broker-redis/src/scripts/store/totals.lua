-- Counts. ARGV: nothing, or the channel and by state what to add to its count. Answers how many jobs are ready,
-- due, running, ended and dead, how many standings, ids and bodies there are, and what is counted by state.
for i = 2, #ARGV, 2 do redis.call('HINCRBY', counts, ARGV[i], ARGV[i + 1]) end
if #ARGV > 0 then redis.call('PUBLISH', ARGV[1], '') end
local kept = {}
for state = 0, 7 do kept[state + 1] = tonumber(redis.call('HGET', counts, state) or 0) end
return {
  redis.call('ZCARD', ready) + redis.call('ZCARD', suspects), redis.call('ZCARD', due), redis.call('HLEN', running),
  redis.call('ZCARD', ended), redis.call('ZCARD', dead), redis.call('HLEN', standings), redis.call('ZCARD', ids),
  redis.call('HLEN', bodies), kept,
}
