-- Sets jobs aside whose records cannot be read, if they are still as they were read. ARGV: the channel; then of each
-- job its id, the standing as it was read (empty if there was none), the standing of the dead job that it becomes,
-- its story, and its body (empty to leave it). Answers how many were set aside.
local channel, count = ARGV[1], 0

-- Takes a job out of every line; the state in which it was counted, as far as that can be told.
local function take_out(id, old)
  local state = byte(old, 1)
  local function told(a, b, c) return (state == a or state == b or state == c) and state or a end
  local from
  if redis.call('ZREM', ready, id) + redis.call('ZREM', suspects, id) > 0 then from = READY end
  if redis.call('HDEL', running, id) > 0 then from = from or RUNNING end
  if redis.call('ZREM', due, id) > 0 then from = from or told(SCHEDULED, RETRYING) end
  if redis.call('ZREM', ended, id) > 0 then from = from or told(4, 6, EXPIRED) end
  if redis.call('ZREM', dead, id) > 0 then from = from or DEAD end
  redis.call('SREM', cancels, id)
  if #old == 108 then
    redis.call('ZREM', stamps, sub(old, 85, 100) .. id)
  else
    for _, member in ipairs(redis.call('ZRANGE', stamps, 0, 99999)) do
      if sub(member, 17) == id then redis.call('ZREM', stamps, member) end
    end
  end
  return from
end

for i = 2, #ARGV, 5 do
  local id, old, new, story, body = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4]
  if (redis.call('HGET', standings, id) or '') == old then
    local from = take_out(id, old)
    if from then redis.call('HINCRBY', counts, from, -1) end
    redis.call('HINCRBY', counts, DEAD, 1)
    redis.call('HSET', standings, id, new)
    redis.call('HSET', stories, id, story)
    if body ~= '' then redis.call('HSET', bodies, id, body) end
    redis.call('ZADD', ids, 0, id)
    redis.call('ZADD', dead, read('>i8', new, 52), id)
    count = count + 1
  end
end
if count > 0 then redis.call('PUBLISH', channel, '') end
return count
