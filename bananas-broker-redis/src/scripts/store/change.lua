-- Writes standings that were computed from the ones named with them, where those are still the same. ARGV: the
-- channel; who acts, and when its lease ends (or empty); a batch to open and its row (or empty); then of each job
-- its id, the standing it was computed from, the new one (empty to forget the job), a result, a story (empty to
-- leave them). Answers -1 if the owner may not act here, -2 if its lease has ended, 1 if all were written; else of
-- each 1, 0 if there is no such job, 2 if its run belongs to an owner that was declared dead, or its standing now.
local channel, owner, lease, batch, row = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
if owner == 'settle' then
  lease = nil
elseif owner ~= '' then
  if redis.call('HGET', owners, owner) ~= '1' then return -1 end
  if clock() >= tonumber(lease) then return -2 end
end
local count = (#ARGV - 5) / 5
local asked = {}
for i = 1, count do asked[i] = ARGV[1 + 5 * i] end
local stored = redis.call('HMGET', standings, unpack(asked))
local answers, written, new_stories, new_results, old_results, old_stories = {}, 0, {}, {}, {}, {}
local is_dead = {}

-- Whether the run belongs to an owner that was declared dead.
local function is_of_the_dead(s)
  if owner ~= 'settle' or byte(s, 1) ~= RUNNING then return false end
  local holder = sub(s, 12, 27)
  if is_dead[holder] == nil then is_dead[holder] = redis.call('HGET', owners, holder) == 'x' end
  return is_dead[holder]
end

for i = 1, count do
  local place, id, now = 1 + 5 * i, asked[i], stored[i]
  if not now then
    answers[i] = 0
  elseif now ~= ARGV[place + 1] then
    answers[i] = now
  elseif is_of_the_dead(now) then
    answers[i] = 2
  else
    answers[i] = 1
    written = written + 1
    local new, result, story = ARGV[place + 2], ARGV[place + 3], ARGV[place + 4]
    change(id, now, new)
    if new ~= '' then
      if result ~= '' then
        new_results[#new_results + 1] = id
        new_results[#new_results + 1] = result
      end
      if story ~= '' then
        new_stories[#new_stories + 1] = id
        new_stories[#new_stories + 1] = story
      elseif byte(now, 83) ~= 0 and byte(new, 83) == 0 then
        old_stories[#old_stories + 1] = id
      end
    end
  end
end
if written > 0 then
  if batch ~= '' then redis.call('HSETNX', batches, batch, row) end
  call('HDEL', stories, old_stories)
  call('HSET', stories, new_stories)
  call('HSET', results, new_results)
  flush(channel)
end
return written == count and 1 or answers
