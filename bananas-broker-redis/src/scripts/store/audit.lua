-- Looks at jobs. ARGV: their ids. Answers lists of standings, stories, results and bodies, and of where each job
-- is: a digit for each of the lines ready, suspects, due, ended, dead and running, and for the list of all ids.
local lines = { ready, suspects, due, ended, dead }
local places = {}
for i = 1, #ARGV do
  local place = ''
  for j = 1, 5 do place = place .. (redis.call('ZSCORE', lines[j], ARGV[i]) and '1' or '0') end
  place = place .. redis.call('HEXISTS', running, ARGV[i])
  places[i] = place .. (redis.call('ZSCORE', ids, ARGV[i]) and '1' or '0')
end
return {
  redis.call('HMGET', standings, unpack(ARGV)), redis.call('HMGET', stories, unpack(ARGV)),
  redis.call('HMGET', results, unpack(ARGV)), redis.call('HMGET', bodies, unpack(ARGV)), places,
}
