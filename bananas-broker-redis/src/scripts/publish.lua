-- Publishes messages. ARGV: of each its priority, when it is due (in microseconds, or 0), and the message.
-- Answers -1 without the queue.
local queue, numbers, messages, normal, high, low, delayed, wake =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8]
if redis.call('EXISTS', queue) == 0 then return -1 end
local now = clock()
local count = #ARGV / 3
local number = redis.call('INCRBY', numbers, count) - count
local put, list, highs, lows, later = {}, {}, {}, {}, {}
local earliest = math.huge
for i = 1, count do
  local priority, due = tonumber(ARGV[3 * i - 2]), tonumber(ARGV[3 * i - 1])
  local entry = (number + i) .. ''
  local item = entry .. ARGV[3 * i]
  if priority ~= 50 then entry = entry .. 'p' .. ARGV[3 * i - 2] end
  if due > now or priority ~= 50 then
    put[#put + 1] = entry
    put[#put + 1] = item
  end
  if due > now then
    later[#later + 1] = due
    later[#later + 1] = entry
    if due < earliest then earliest = due end
  elseif priority == 50 then
    list[#list + 1] = item
  else
    local lane = priority > 50 and highs or lows
    lane[#lane + 1] = score(priority, number + i)
    lane[#lane + 1] = entry
  end
end
if #put > 0 then redis.call('HSET', messages, unpack(put)) end
local ring = #later < 2 * count
if #list > 0 then redis.call('RPUSH', normal, unpack(list)) end
if #highs > 0 then redis.call('ZADD', high, unpack(highs)) end
if #lows > 0 then redis.call('ZADD', low, unpack(lows)) end
if #later > 0 then
  -- Who waits must know the earliest time.
  local first = redis.call('ZRANGE', delayed, 0, 0, 'WITHSCORES')
  ring = ring or not first[2] or earliest < tonumber(first[2])
  redis.call('ZADD', delayed, unpack(later))
end
if ring then redis.call('ZADD', wake, 0, '') end
return 0
