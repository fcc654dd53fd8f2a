-- Takes calls from a budget.
-- KEYS: budget, pause
-- ARGV: calls that wait, most that are given, calls that are charged, interval, tolerance, period in microseconds, milliseconds
--   of a pause to begin (0: none)
-- Answer: calls that may pass, wait in microseconds, rest of the pause in milliseconds
local time = now()
local pause = math.max(redis.call('PTTL', KEYS[2]), 0)
local begun = tonumber(ARGV[7])
if begun > pause then
  redis.call('SET', KEYS[2], '1', 'PX', begun)
  pause = begun
end
local interval, tolerance, period = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local farthest = time + 2 * period
local due = math.min(math.max(number(text(KEYS[1], 16)), time), farthest) -- F-08: budget in reach
due = math.min(due + tonumber(ARGV[3]) * interval, farthest)
local taken, wait = 0, 0
if pause == 0 then
  taken, due, wait = slots(due, time, math.min(tonumber(ARGV[1]), tonumber(ARGV[2])), interval, tolerance, period)
end
redis.call('SET', KEYS[1], digits(due), 'PX', math.ceil(2 * period / 1000))
return {taken, digits(wait), pause}
