-- Reads jobs. ARGV: what of them (1 is the standing, 2 also story and result, 3 also the body), then their ids.
-- Answers a list of each.
local what = ARGV[1]
local asked = {}
for i = 2, #ARGV do asked[i - 1] = ARGV[i] end
local found = { redis.call('HMGET', standings, unpack(asked)) }
if what > '1' then
  found[2] = redis.call('HMGET', stories, unpack(asked))
  found[3] = redis.call('HMGET', results, unpack(asked))
end
if what > '2' then found[4] = redis.call('HMGET', bodies, unpack(asked)) end
return found
