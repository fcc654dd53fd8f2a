-- What every script begins with. Nothing that another client wrote can make a script fail: what has the wrong type or form
-- counts as not there.

-- The tier's time in microseconds.
local function now()
  local t = redis.call('TIME')
  return t[1] * 1000000 + t[2]
end

-- What stands in a text, up to a number of bytes; empty where there is more, none, or no text.
local function text(key, most)
  local held = redis.pcall('GETRANGE', key, 0, most)
  if type(held) ~= 'string' or #held > most then return '' end
  return held
end

-- The number in digits; 0 where they are none. Numbers are exact below 2^53.
local function number(digits)
  if #digits == 0 or #digits > 16 or string.find(digits, '%D') then return 0 end
  local value = tonumber(digits)
  if value > 9007199254740991 then return 0 end
  return value
end

local function digits(value)
  return string.format('%016.0f', value)
end

-- When the user signed out, and the highest fence that was given above the tier's time.
local function mark(key)
  local held = text(key, 32)
  return number(string.sub(held, 1, 16)), number(string.sub(held, 17))
end

-- The fence of a session and what stands behind it.
local function session(key, most)
  local held = text(key, most + 16)
  return number(string.sub(held, 1, 16)), string.sub(held, 17)
end

-- Writes; says whether there was room. Any other failure is the caller's to know.
local function written(...)
  local answer = redis.pcall(...)
  if type(answer) ~= 'table' or not answer.err then return true end
  if string.find(answer.err, 'OOM', 1, true) then return false end
  return answer
end

-- Takes slots of a rate: how many, when the next call is due, and how long to wait where none is free.
local function slots(due, time, calls, interval, tolerance, period)
  due = math.min(math.max(due, time), time + 2 * period) -- F-08: due in reach
  local latest = time + tolerance
  if due > latest then return 0, due, due - latest end
  local taken = math.min(calls, math.floor((latest - due) / interval) + 1)
  return taken, due + taken * interval, 0
end
