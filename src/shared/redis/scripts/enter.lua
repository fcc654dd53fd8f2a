-- Asks for a session, and for the lease to mint it.
-- KEYS: session, lease, mark, upsert memory, rate of the user
-- ARGV: token of the lease (empty: only looks), fence that is known, milliseconds of a lease, milliseconds that a raised fence is
--   remembered, most bytes of a value; interval, tolerance, period of the rate in microseconds (0: none)
-- Answer: outcome, time, mark, upsert memory; then fence and value | rest in milliseconds | wait in microseconds | fence
local time = now()
local signed_out, highest = mark(KEYS[3])
local fence, value = session(KEYS[1], tonumber(ARGV[5]))
local known = number(ARGV[2])
local sent = text(KEYS[4], 64)
local function answer(outcome, ...)
  return {outcome, digits(time), digits(signed_out), sent, ...}
end

if #value > 0 and fence > signed_out and fence > known then -- F-10: fence above the mark
  return answer('hit', digits(fence), value)
end
if ARGV[1] == '' then return answer('nothing') end

-- F-07: what has no end, or a later one than a lease has, is none
local rest = redis.call('PTTL', KEYS[2])
if rest > 0 and rest <= tonumber(ARGV[3]) then return answer('busy', rest) end

local interval = tonumber(ARGV[6])
if interval > 0 then
  local period = tonumber(ARGV[8])
  local taken, due, wait = slots(number(text(KEYS[5], 16)), time, 1, interval, tonumber(ARGV[7]), period)
  if taken == 0 then return answer('limited', digits(wait)) end
  local counted = written('SET', KEYS[5], digits(due), 'PX', math.ceil(period / 1000))
  if type(counted) == 'table' then return counted end
end

local given = math.max(time, signed_out + 1, highest + 1, fence + 1, known + 1)
local leased = written('SET', KEYS[2], ARGV[1], 'PX', ARGV[3])
if type(leased) == 'table' then return leased end
if not leased then return answer('alone', digits(given)) end
if given > time then
  -- The tier's clock went back. A sign-out must end this session all the same.
  local hold = math.max(redis.call('PTTL', KEYS[3]), tonumber(ARGV[4]))
  local raised = written('SET', KEYS[3], digits(signed_out) .. digits(given), 'PX', hold)
  if type(raised) == 'table' then return raised end
end
return answer('go', digits(given))
