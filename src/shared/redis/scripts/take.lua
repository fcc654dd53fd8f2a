-- Takes calls from a budget.
-- KEYS: budget, pause
-- ARGV: calls that wait, most that are given, interval, tolerance, period in microseconds, milliseconds of a pause to begin
--   (0: none)
-- Answer: calls that may pass, wait in microseconds, rest of the pause in milliseconds
local time = now()
local pause = math.max(redis.call('PTTL', KEYS[2]), 0)
local begun = tonumber(ARGV[6])
if begun > pause then
  redis.call('SET', KEYS[2], '1', 'PX', begun)
  pause = begun
end
if pause > 0 then return {0, digits(0), pause} end
local calls, interval, tolerance, period =
  math.min(tonumber(ARGV[1]), tonumber(ARGV[2])), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local taken, due, wait = slots(number(text(KEYS[1], 16)), time, calls, interval, tolerance, period)
redis.call('SET', KEYS[1], digits(due), 'PX', math.ceil(2 * period / 1000))
return {taken, digits(wait), 0}
