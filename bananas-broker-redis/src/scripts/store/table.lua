-- The jobs of one queue. A standing has a fixed width: state, wish to cancel, epoch (3), owner (11), what it was
-- claimed with (28), when it is due (36), started (44) and ended (52), reason (60), failed attempts (61), crashes
-- (65), copy (69), when it expires (73), tracking (81), priority (82), whether it has a story and a result (83),
-- its batch (85), its number (101). Standings change in `change` only, which keeps everything else in step.
local standings, bodies, stories, results, ids, ready, suspects, due, running, ended, dead, cancels, stamps,
  batches, owners, counts, numbers, uniques, unique_ends, wake = unpack(KEYS)
local byte, sub, concat = string.byte, string.sub, table.concat
local read, write = struct.unpack, struct.pack
local SCHEDULED, READY, RUNNING, RETRYING, DEAD, EXPIRED = 0, 1, 2, 3, 5, 7
local NEVER, NONE = '\128\0\0\0\0\0\0\0', string.rep('\0', 16)

local sets = { ready, suspects, due, ended, dead }
local out, into = { {}, {}, {}, {}, {} }, { {}, {}, {}, {}, {} }
local runs, stops, put, gone, told, untold = {}, {}, {}, {}, {}, {}
local stamped, unstamped, tally = {}, {}, {}

local function clock()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end

local function set_of(state, s)
  if state == READY then return sub(s, 65, 68) == '\0\0\0\0' and 1 or 2 end
  if state == SCHEDULED or state == RETRYING then return 3 end
  return state == DEAD and 5 or 4
end

-- Takes a job out of the places where its standing puts it. What was popped is out of its line already.
local function leave(id, s, popped)
  local state = byte(s, 1)
  tally[state] = (tally[state] or 0) - 1
  if state == RUNNING then
    stops[#stops + 1] = id
    if byte(s, 2) == 1 then untold[#untold + 1] = id end
    return
  end
  if not popped then
    local list = out[set_of(state, s)]
    list[#list + 1] = id
  end
  if state == READY then
    local batch = sub(s, 85, 100)
    if batch ~= NONE then unstamped[#unstamped + 1] = batch .. id end
  end
end

local function enter(id, s, token)
  local state = byte(s, 1)
  tally[state] = (tally[state] or 0) + 1
  put[#put + 1] = id
  put[#put + 1] = s
  if state == RUNNING then
    runs[#runs + 1] = id
    runs[#runs + 1] = sub(s, 12, 27) .. (token or '')
    if byte(s, 2) == 1 then told[#told + 1] = id end
    return
  end
  local set = set_of(state, s)
  local list = into[set]
  if state == READY then
    list[#list + 1] = (100 - byte(s, 82)) * 8796093022208 + read('>I8', s, 101)
    local batch = sub(s, 85, 100)
    if batch ~= NONE then
      stamped[#stamped + 1] = 0
      stamped[#stamped + 1] = batch .. id
    end
  else
    list[#list + 1] = read('>i8', s, set == 3 and 36 or 52)
  end
  list[#list + 1] = id
end

-- A job that was `old` is `new` from now on, or forgotten if that is empty.
local function change(id, old, new, popped, token)
  leave(id, old, popped)
  if new == '' then
    gone[#gone + 1] = id
  else
    enter(id, new, token)
  end
end

local function forget()
  redis.call('HDEL', standings, unpack(gone))
  redis.call('HDEL', bodies, unpack(gone))
  redis.call('HDEL', stories, unpack(gone))
  redis.call('HDEL', results, unpack(gone))
  redis.call('ZREM', ids, unpack(gone))
end

-- Somebody who waits must look when there is something to take, or to know an earlier time.
local function rings()
  if #into[1] > 0 or #into[2] > 0 then return true end
  if #into[3] == 0 then return false end
  local first = tonumber(redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')[2] or math.huge)
  for i = 1, #into[3], 2 do
    if into[3][i] < first then return true end
  end
  return false
end

local function call(command, key, list)
  if #list > 0 then redis.call(command, key, unpack(list)) end
end

-- Writes all changes, and tells who watches.
local function flush(channel)
  if #put == 0 and #gone == 0 then return end
  for i = 1, 5 do call('ZREM', sets[i], out[i]) end
  call('HDEL', running, stops)
  call('SREM', cancels, untold)
  call('ZREM', stamps, unstamped)
  local ring = rings()
  if #gone > 0 then forget() end
  call('HSET', standings, put)
  for i = 1, 5 do call('ZADD', sets[i], into[i]) end
  call('HSET', running, runs)
  call('SADD', cancels, told)
  call('ZADD', stamps, stamped)
  for state, more in pairs(tally) do
    if more ~= 0 then redis.call('HINCRBY', counts, state, more) end
  end
  if ring then redis.call('ZADD', wake, 0, '') end
  redis.call('PUBLISH', channel, '')
end
