-- Makes leases last from now. ARGV: the lease in microseconds; then of each delivery its entry and token.
-- Answers of each 0, or 2 if its lease was lost.
local queue, leased, wake = KEYS[1], KEYS[2], KEYS[3]
local lease = tonumber(ARGV[1])
local now = clock()
local held = {}
for i = 2, #ARGV do held[i - 1] = ARGV[i] end
local ends = redis.call('ZMSCORE', leased, unpack(held))
local answers, put = {}, {}
for i = 1, #held do
  answers[i] = 2
  if ends[i] and tonumber(ends[i]) > now then
    answers[i] = 0
    put[#put + 1] = now + lease
    put[#put + 1] = held[i]
  end
end
if #put > 0 then
  redis.call('ZADD', leased, unpack(put))
  local shortest = redis.call('HGET', queue, 'shortest_lease')
  if shortest and lease < tonumber(shortest) then
    redis.call('HSET', queue, 'shortest_lease', ARGV[1])
    redis.call('ZADD', wake, 0, '')
  end
end
return answers
