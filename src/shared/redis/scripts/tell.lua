-- Tells every replica of an event.
-- KEYS: number of the last event, stream of events, denied users
-- ARGV: the event, events that are kept; a user to deny (empty: none), until when in microseconds
-- Answer: its number
if ARGV[3] ~= '' then
  redis.call('ZADD', KEYS[3], ARGV[4], ARGV[3])
  -- Those whose time is over, and whoever is allowed again.
  redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now())
end
local event = redis.call('INCR', KEYS[1])
local function add()
  return redis.pcall('XADD', KEYS[2], 'MAXLEN', '~', ARGV[2], event .. '-1', 'e', ARGV[1])
end
local added = add()
if type(added) == 'table' and added.err and not string.find(added.err, 'OOM', 1, true) then
  -- The stream is another one than the number belongs to: both begin anew, and replicas see a gap.
  redis.call('UNLINK', KEYS[2])
  added = add()
end
if type(added) == 'table' then return added end
return event
