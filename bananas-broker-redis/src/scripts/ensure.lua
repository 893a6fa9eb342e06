-- Makes a queue if it is not there. ARGV: its incarnation, a lease longer than any, in microseconds.
local queue = KEYS[1]
if redis.call('HSETNX', queue, 'incarnation', ARGV[1]) == 1 then
  redis.call('HSETNX', queue, 'shortest_lease', ARGV[2])
end
return 0
