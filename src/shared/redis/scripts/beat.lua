-- Says that a replica lives, and tells what happened.
-- KEYS: number of the last event, stream of events, replicas by last beat
-- ARGV: the replica, the last event that it has seen (empty: none is wanted), events at most, microseconds that a replica counts
-- Answer: time, number of the last event, replicas, then number and text of each event
local time = now()
local beaten = redis.pcall('ZADD', KEYS[3], time, ARGV[1])
if type(beaten) == 'table' and string.find(beaten.err, 'WRONGTYPE', 1, true) then
  redis.call('UNLINK', KEYS[3])
  redis.pcall('ZADD', KEYS[3], time, ARGV[1])
end
redis.pcall('ZREMRANGEBYSCORE', KEYS[3], '-inf', time - tonumber(ARGV[4]))
-- A beat of the future is none: the clock went back, or another client wrote it.
local replicas = redis.pcall('ZCOUNT', KEYS[3], '-inf', time)
if type(replicas) == 'table' then replicas = 0 end
local answer = {digits(time), digits(number(text(KEYS[1], 16))), replicas}
if ARGV[2] ~= '' then
  local events = redis.pcall('XRANGE', KEYS[2], ARGV[2] .. '-2', '+', 'COUNT', ARGV[3])
  for n = 1, events.err and 0 or #events do
    local fields = events[n][2]
    local event = fields[1] == 'e' and fields[2] or ''
    answer[#answer + 1] = string.match(events[n][1], '^%d+')
    answer[#answer + 1] = #event <= 256 and event or ''
  end
end
return answer
