-- Records jobs. ARGV: the channel, the time, a batch and its row (or empty), how many arguments a job has: its id,
-- standing without a number, and body; if seven, also story, result, unique key, and when that ends (or empty).
-- An empty standing is that of a job of which nothing is kept. Answers whether these are the first jobs of the
-- queue, and of each 0 if it is new, 1 if its id is known, 2 if its owner is not, or who has the key.
local channel, now, batch, row, width = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4], tonumber(ARGV[5])
local count = (#ARGV - 5) / width
local asked = {}
for i = 1, count do asked[i] = ARGV[6 + (i - 1) * width] end
local known = redis.call('HMGET', standings, unpack(asked))
local number = redis.call('INCRBY', numbers, count) - count
if batch ~= '' then redis.call('HSETNX', batches, batch, row) end
if width == 7 then
  local over = redis.call('ZRANGE', unique_ends, '-inf', now, 'BYSCORE', 'LIMIT', 0, 100)
  call('HDEL', uniques, over)
  call('ZREM', unique_ends, over)
end
local answers, seen, new_ids, texts, all_stories, all_results = {}, {}, {}, {}, {}, {}

local function refusal(id, place, known_as)
  if known_as or seen[id] then return 1 end
  local s = ARGV[place + 1]
  if byte(s, 1) == RUNNING and redis.call('HGET', owners, sub(s, 12, 27)) ~= '1' then return 2 end
  if width == 7 and ARGV[place + 6] ~= '' then
    local key, ends = ARGV[place + 5], tonumber(ARGV[place + 6])
    local held = redis.call('HGET', uniques, key)
    if held and tonumber(sub(held, 17)) > now then return sub(held, 1, 16) end
    if ends > now then
      redis.call('HSET', uniques, key, id .. ARGV[place + 6])
      redis.call('ZADD', unique_ends, ends, key)
    end
  end
  return nil
end

for i = 1, count do
  local place, id = 6 + (i - 1) * width, asked[i]
  local refused = refusal(id, place, known[i])
  answers[i] = refused or 0
  if not refused and ARGV[place + 1] ~= '' then
    seen[id] = true
    enter(id, ARGV[place + 1] .. write('>I8', number + i))
    new_ids[#new_ids + 1] = 0
    new_ids[#new_ids + 1] = id
    texts[#texts + 1] = id
    texts[#texts + 1] = ARGV[place + 2]
    if width == 7 and ARGV[place + 3] ~= '' then
      all_stories[#all_stories + 1] = id
      all_stories[#all_stories + 1] = ARGV[place + 3]
    end
    if width == 7 and ARGV[place + 4] ~= '' then
      all_results[#all_results + 1] = id
      all_results[#all_results + 1] = ARGV[place + 4]
    end
  end
end
call('ZADD', ids, new_ids)
call('HSET', bodies, texts)
call('HSET', stories, all_stories)
call('HSET', results, all_results)
flush(channel)
return { number == 0 and 1 or 0, answers }
