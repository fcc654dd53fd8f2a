-- Takes what is due. ARGV: most, who takes, how long the lease is, bytes at most, how long what was put aside stays.
through()
local time, most, lease, room = now(), tonumber(ARGV[1]), tonumber(ARGV[3]), tonumber(ARGV[4])
local notices = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', ASIDE, '-inf', int(time - tonumber(ARGV[5])), 'LIMIT', 0, 64)) do
  local event = load(id)
  if event then
    notices[#notices + 1] = { 'expired', event.name, '' }
    remove(id, event, time)
  else
    redis.call('ZREM', ASIDE, id)
  end
end
for _ = 1, 16 do
  local told = redis.call('LPOP', KEYS[13])
  if not told then break end
  local name, reason = string.match(told, '^(%S+) (.*)$')
  if name then notices[#notices + 1] = { 'dropped', name, reason } end
end
-- Leases that have ended: of a process that was killed, or hangs.
for _, id in ipairs(redis.call('ZRANGEBYSCORE', TAKEN, '-inf', int(time), 'LIMIT', 0, 256)) do
  local event = load(id)
  if event then release(id, event, time) else redis.call('ZREM', TAKEN, id) end
end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', HOLDING, '-inf', int(time), 'LIMIT', 0, 256)) do
  local event = load(id)
  redis.call('ZREM', HOLDING, id)
  if event then relist(event.order, time) end
end
local taken = {}
while #taken < most and room > 0 do
  local id = redis.call('ZRANGEBYSCORE', LISTED, '-inf', int(time), 'LIMIT', 0, 1)[1]
  if not id then break end
  local event = load(id)
  if event and event.order ~= '' then
    -- A passed event that is due again goes before the events that passed it.
    local order = event.order
    for _, member in ipairs(redis.call('ZRANGEBYLEX', LINES, '[' .. order .. ':', '(' .. order .. ';', 'LIMIT', 0, 512)) do
      local other = string.sub(member, #order + 2)
      local due = redis.call('ZSCORE', LISTED, other)
      if not due then break end
      if tonumber(due) <= time then
        id, event = other, load(other)
        break
      end
    end
  end
  local held = event and redis.call('XRANGE', STREAM, entry(id), entry(id))[1]
  if held then
    event.by, event.since = ARGV[2], time
    save(id, event)
    redis.call('ZADD', TAKEN, int(time + lease), id)
    settle_listing(id, event, time)
    room = room - event.bytes
    taken[#taken + 1] = { id, event.name, int(event.received), event.attempts, held[2][2], held[2][4] }
  elseif event then
    remove(id, event, time)
  else
    redis.call('ZREM', LISTED, id)
  end
end
local wait = -1
for _, set in ipairs({ LISTED, HOLDING, TAKEN }) do
  local first = redis.call('ZRANGE', set, 0, 0, 'WITHSCORES')[2]
  local ahead = first and math.max(0, tonumber(first) - time)
  if ahead and (wait < 0 or ahead < wait) then wait = ahead end
end
return { wait, taken, notices, standing() }
