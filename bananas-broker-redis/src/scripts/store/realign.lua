-- Puts jobs into the lines where their standings say that they are, if those are still as they were read; who has no
-- standing leaves every line. ARGV: the channel, then of each job its id and standing (empty if there is none).
local channel = ARGV[1]
for i = 2, #ARGV, 2 do
  local id, s = ARGV[i], ARGV[i + 1]
  if (redis.call('HGET', standings, id) or '') == s then
    for j = 1, 5 do redis.call('ZREM', sets[j], id) end
    local token = sub(redis.call('HGET', running, id) or '', 17)
    redis.call('HDEL', running, id)
    if s ~= '' then
      redis.call('ZADD', ids, 0, id)
      enter(id, s, token)
    else
      redis.call('ZREM', ids, id)
    end
  end
end
-- The counts are looked at by themselves.
tally = {}
flush(channel)
return 1
