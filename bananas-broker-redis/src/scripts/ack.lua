-- Acknowledges deliveries. ARGV: of each its entry and token. Answers 0 if all were ours, else of each 0 if it
-- was, 1 if it was settled before, 2 if its lease was lost.
local leased, messages, counts = KEYS[1], KEYS[2], KEYS[3]
local now = clock()
local ends = redis.call('ZMSCORE', leased, unpack(ARGV))
local gone, entries, answers, seen = {}, {}, {}, {}
for i = 1, #ARGV do
  local held = ARGV[i]
  if seen[held] then
    answers[i] = 1
  elseif ends[i] and tonumber(ends[i]) > now then
    seen[held] = true
    gone[#gone + 1] = held
    entries[#entries + 1] = string.sub(held, 1, -9)
    answers[i] = 0
  else
    answers[i] = is_there(messages, counts, string.sub(held, 1, -9)) and 2 or 1
  end
end
if #gone > 0 then
  redis.call('ZREM', leased, unpack(gone))
  redis.call('HDEL', messages, unpack(entries))
  if redis.call('EXISTS', counts) == 1 then redis.call('HDEL', counts, unpack(entries)) end
end
return #gone == #ARGV and 0 or answers
