-- Starts ready jobs. ARGV: the channel, the owner and when its lease ends, how many at most, of those how many
-- suspects, the time as a number and as eight bytes, the token of these runs, about how many bytes of bodies fill
-- one answer. Answers -1 if the owner may not act here, -2 if its lease has ended, -3 if jobs are due; else
-- whether there may be more, when the next job is due (or empty), and ids, standings and bodies; and the ids of
-- those whose standings are damaged. They are counted as dead, where they are found until they are set aside.
local channel, owner, most, most_suspects = ARGV[1], ARGV[2], tonumber(ARGV[4]), tonumber(ARGV[5])
local now, now_bytes, token, room = tonumber(ARGV[6]), ARGV[7], ARGV[8], tonumber(ARGV[9])
if redis.call('HGET', owners, owner) ~= '1' then return -1 end
if clock() >= tonumber(ARGV[3]) then return -2 end
local first = redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')[2]
if first and tonumber(first) <= now then return -3 end

-- The next in line, the suspects among them.
local function pop(count, some)
  local popped = {}
  local doubtful = some > 0 and redis.call('ZRANGE', suspects, 0, some - 1, 'WITHSCORES') or {}
  if #doubtful == 0 then
    local found = redis.call('ZPOPMIN', ready, count)
    for i = 1, #found, 2 do popped[#popped + 1] = found[i] end
    return popped
  end
  local found = redis.call('ZRANGE', ready, 0, count - 1, 'WITHSCORES')
  local i, j, from_ready, from_suspects = 1, 1, {}, {}
  while #popped < count and (found[i] or doubtful[j]) do
    if not doubtful[j] or (found[i] and tonumber(found[i + 1]) < tonumber(doubtful[j + 1])) then
      from_ready[#from_ready + 1] = found[i]
      popped[#popped + 1] = found[i]
      i = i + 2
    else
      from_suspects[#from_suspects + 1] = doubtful[j]
      popped[#popped + 1] = doubtful[j]
      j = j + 2
    end
  end
  call('ZREM', ready, from_ready)
  call('ZREM', suspects, from_suspects)
  return popped
end

-- What the core's `Standing::start` makes of it.
local function started(s)
  local epoch = write('>I8', read('>I8', s, 3) + 1)
  return concat({ '\2', sub(s, 2, 2), epoch, '\1', owner, sub(s, 69, 72), '\0\0\0\1', NEVER, now_bytes, sub(s, 52) })
end

local function expired(s)
  if byte(s, 81) == 0 then return '' end
  return concat({ '\7\0', sub(s, 3, 10), '\0', NONE, sub(s, 28, 35), NEVER, sub(s, 44, 51), now_bytes, sub(s, 60) })
end

local found, now_standing, texts, damaged = {}, {}, {}, {}
local taken, bytes, looked, full = 0, 0, 0, true
local step = math.min(most, 100)
while step > 0 and looked < 2000 do
  local popped = pop(step, math.min(most_suspects, step))
  looked = looked + #popped
  if #popped > 0 then
    local before = redis.call('HMGET', standings, unpack(popped))
    local text = redis.call('HMGET', bodies, unpack(popped))
    for i = 1, #popped do
      local id, s = popped[i], before[i]
      -- Who is in a line without a standing is nobody, and who is not ready is in the wrong one.
      if s and (#s ~= 108 or byte(s, 1) > EXPIRED) then
        redis.call('ZADD', dead, now, id)
        redis.call('HINCRBY', counts, READY, -1)
        redis.call('HINCRBY', counts, DEAD, 1)
        damaged[#damaged + 1] = id
      elseif s and byte(s, 1) == READY then
        local at = sub(s, 73, 80)
        if at ~= NEVER and read('>i8', at) <= now then
          change(id, s, expired(s), true)
        else
          local new = started(s)
          change(id, s, new, true, token)
          taken = taken + 1
          found[taken], now_standing[taken], texts[taken] = id, new, text[i] or ''
          bytes = bytes + #texts[taken]
          if sub(s, 65, 68) ~= '\0\0\0\0' then most_suspects = most_suspects - 1 end
        end
      end
    end
  end
  if #popped < step then
    full = false
    break
  end
  if bytes >= room then break end
  step = math.min(most - taken, 1 + math.floor((room - bytes) * taken / (bytes + 1)), 400)
end
flush(channel)
-- Somebody else may wait, and must look at what is left or learn the time.
if taken > 0 and (full or first) then redis.call('ZADD', wake, 0, '') end
return { full and 1 or 0, first or '', found, now_standing, texts, damaged }
