-- Counts. What is due and whose lease has lapsed counts as ready. Answers nothing without the queue.
local queue, normal, high, low, delayed, leased, dead =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7]
local incarnation = redis.call('HGET', queue, 'incarnation')
if not incarnation then return -1 end
local now = clock()
local due = redis.call('ZCOUNT', delayed, '-inf', now)
local lapsed = redis.call('ZCOUNT', leased, '-inf', now)
local ready = redis.call('LLEN', normal) + redis.call('ZCARD', high) + redis.call('ZCARD', low)
return {
  incarnation,
  ready + due + lapsed,
  redis.call('ZCARD', leased) - lapsed,
  redis.call('ZCARD', delayed) - due,
  redis.call('ZCARD', dead),
}
