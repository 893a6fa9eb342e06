-- Looks for ready jobs that a broker may not have. ARGV: how many at most, then "batch" and a batch, of which it
-- finds the jobs and which it closes when there are none; or "closed" and the batch under way, to find jobs of
-- batches that are closed; or "never" and how many to pass over, to find jobs that were never in a batch. Answers
-- ids, and how many to pass over next time, -1 at the end.
local most, what = tonumber(ARGV[1]), ARGV[2]
local found, past = {}, string.rep('\255', 16)

local function of_batch(batch, max)
  local members = redis.call('ZRANGE', stamps, '[' .. batch, '[' .. batch .. past, 'BYLEX', 'LIMIT', 0, max)
  for i = 1, #members do found[#found + 1] = sub(members[i], 17) end
  return #members
end

local function of_closed(under_way)
  local from = '-'
  while #found < most do
    local member = redis.call('ZRANGE', stamps, from, '+', 'BYLEX', 'LIMIT', 0, 1)[1]
    if not member then return end
    local batch = sub(member, 1, 16)
    if batch ~= under_way and redis.call('HEXISTS', batches, batch) == 0 then of_batch(batch, most - #found) end
    from = '(' .. batch .. past
  end
end

local function never_in_one(rank)
  local length = redis.call('ZCARD', ready)
  if length + redis.call('ZCARD', suspects) == redis.call('ZCARD', stamps) then return -1 end
  local looked = redis.call('ZRANGE', ready, rank, rank + 999)
  if rank + #looked >= length then
    local others = redis.call('ZRANGE', suspects, 0, 999)
    for i = 1, #others do looked[#looked + 1] = others[i] end
  end
  for i = 1, #looked do
    local s = #found < most and redis.call('HGET', standings, looked[i])
    if s and #s == 108 and sub(s, 85, 100) == NONE then found[#found + 1] = looked[i] end
  end
  return rank + 1000 < length and rank + 1000 or -1
end

if what == 'batch' then
  if of_batch(ARGV[3], most) == 0 and most > 0 then redis.call('HDEL', batches, ARGV[3]) end
  return { found, -1 }
elseif what == 'closed' then
  of_closed(ARGV[3])
  return { found, -1 }
end
local next_rank = never_in_one(tonumber(ARGV[3]))
return { found, next_rank }
