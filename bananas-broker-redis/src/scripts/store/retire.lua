-- Declares owners dead. ARGV: "all" for those named, "lapsed" for those of them whose lease has ended, "sweep" for
-- all whose lease has ended, "done" when nothing is left of those named; how long a row is kept after that, in
-- microseconds; the owners. Answers the owners that are dead and of which something may be left.
local how, kept = ARGV[1], tonumber(ARGV[2])
local key = KEYS[1]
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local dead = {}

local function look(owner, row)
  local state = row and string.sub(row, 1, 1)
  local at = row and tonumber(string.sub(row, 2, 17)) or 0
  local known = row and string.sub(row, 18) or ''
  if how == 'done' then
    if state == 'g' then redis.call('HSET', key, owner, string.format('d%016.0f', at) .. known) end
  elseif state == 'd' then
    if how == 'sweep' and at + kept <= now then redis.call('HDEL', key, owner) end
    if how ~= 'sweep' then dead[#dead + 1] = owner end
  elseif state == 'g' then
    dead[#dead + 1] = owner
  elseif how == 'all' or at <= now then
    redis.call('HSET', key, owner, string.format('g%016.0f', now) .. known)
    dead[#dead + 1] = owner
  end
end

if how == 'sweep' then
  local rows = redis.call('HGETALL', key)
  for i = 1, #rows, 2 do look(rows[i], rows[i + 1]) end
else
  for i = 3, #ARGV do look(ARGV[i], redis.call('HGET', key, ARGV[i])) end
end
return dead
