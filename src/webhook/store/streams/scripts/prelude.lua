-- What every script begins with. All keys of a queue have one hash tag. The stream holds what was accepted, in that order; the
-- rest says what is to be done with it, by the rules of schedule.rs.
--
-- KEYS: 1 stream, 2 facts of the queue, 3 state of each event, 4 all events, 5 events of each order key; and of one webhook:
-- 6 listed by due time, 7 taken by the end of the lease, 8 holding by the time at which they are passed, 9 waiting,
-- 10 put aside by time, 11 and 12 memory of keys and of proofs.
local STREAM, FACTS, STATE, ALL, LINES = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local LISTED, TAKEN, HOLDING, WAITING, ASIDE = KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10]
local PATIENCE = 900000

local function int(value)
  return string.format('%.0f', value)
end

-- The server's clock, in milliseconds.
local function clock()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- The time of the queue. It goes on where the clock was set back or another server took over, so nothing waits for longer.
local function now()
  local own = redis.call('HMGET', FACTS, 'time', 'behind')
  local last, behind = tonumber(own[1] or '0'), tonumber(own[2] or '0')
  local time = clock() + behind
  if time < last then
    behind, time = behind + last - time, last
  end
  -- Also where nothing else is written: WAITAOF waits for the last write of its own connection, and a repeat is answered 200
  -- as well.
  redis.call('HSET', FACTS, 'time', int(time), 'behind', int(behind))
  return time
end

-- A server that is full refuses the first write of a script, unless it is one that needs no room: what frees room comes through.
local function through()
  redis.call('HDEL', FACTS, '-')
end

local function load(id)
  local text = redis.call('HGET', STATE, id)
  return text and cmsgpack.unpack(text)
end

local function save(id, event)
  redis.call('HSET', STATE, id, cmsgpack.pack(event))
end

local function add(field, change)
  redis.call('HINCRBY', FACTS, field, int(change))
end

local function list(id, event)
  redis.call('ZADD', LISTED, int(event.due), id)
end

local function is_passed(event, time)
  return event.failed > 0 and time >= event.failed + PATIENCE
end

-- Of an order key, the head and those that were passed are listed; none, while one of them is taken.
local function relist(order, time)
  local line, unpassed, at, is_busy = {}, 0, 0, false
  repeat
    local found = redis.call('ZRANGEBYLEX', LINES, '[' .. order .. ':', '(' .. order .. ';', 'LIMIT', at, 8)
    for _, member in ipairs(found) do
      local id = string.sub(member, #order + 2)
      local event = load(id)
      if event then
        line[#line + 1] = { id = id, event = event }
        is_busy = is_busy or event.by ~= ''
        if not is_passed(event, time) then unpassed = unpassed + 1 end
      end
      if unpassed == 2 then break end
    end
    at = at + 8
  until #found < 8 or unpassed == 2 or at > 512
  local is_free = true
  for _, one in ipairs(line) do
    if is_free and not is_busy then
      list(one.id, one.event)
    else
      redis.call('ZREM', LISTED, one.id)
    end
    is_free = is_free and is_passed(one.event, time)
  end
end

local function settle_listing(id, event, time)
  if event.order ~= '' then
    relist(event.order, time)
  elseif event.by == '' then
    list(id, event)
  else
    redis.call('ZREM', LISTED, id)
  end
end

-- It waits no longer.
local function leave(id, event, time)
  redis.call('ZREM', LISTED, id)
  redis.call('ZREM', TAKEN, id)
  redis.call('ZREM', HOLDING, id)
  redis.call('ZREM', WAITING, id)
  if event.order ~= '' then
    redis.call('ZREM', LINES, event.order .. ':' .. id)
    relist(event.order, time)
  end
end

-- It waits, in its old place where it has one.
local function enter(id, event, time)
  save(id, event)
  redis.call('ZADD', WAITING, tonumber(id), id)
  if event.order ~= '' then
    redis.call('ZADD', LINES, 0, event.order .. ':' .. id)
  end
  settle_listing(id, event, time)
end

local function entry(id)
  return '0-' .. int(tonumber(id))
end

local function remove(id, event, time)
  redis.call('XDEL', STREAM, entry(id))
  redis.call('HDEL', STATE, id)
  redis.call('ZREM', ALL, id)
  redis.call('ZREM', ASIDE, id)
  add('events', -1)
  add('bytes', -event.bytes)
  add('events:' .. event.webhook, -1)
  add('bytes:' .. event.webhook, -event.bytes)
  leave(id, event, time)
end

-- Its lease has ended, or was given back.
local function release(id, event, time)
  redis.call('ZREM', TAKEN, id)
  event.by = ''
  save(id, event)
  settle_listing(id, event, time)
end

-- How things stand: events and bytes of all webhooks, forgotten entries; waiting, put aside, when the oldest came.
local function standing()
  local all = redis.call('HMGET', FACTS, 'events', 'bytes', 'forgotten')
  local first = redis.call('ZRANGE', WAITING, 0, 0)[1]
  local oldest = first and load(first)
  return {
    tonumber(all[1] or '0'), tonumber(all[2] or '0'), tonumber(all[3] or '0'),
    redis.call('ZCARD', WAITING), redis.call('ZCARD', ASIDE), oldest and oldest.received or -1,
  }
end

