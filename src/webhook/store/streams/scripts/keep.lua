-- Keeps an event unless it is a repeat. ARGV: webhook, key, proof, how long each is remembered, order key, id for the
-- application, received, bytes, head, body; and the limits: events, bytes, those of one webhook, entries of each memory.
local webhook, bytes, time = ARGV[1], tonumber(ARGV[9]), now()
for kind = 0, 1 do
  local known = redis.call('ZSCORE', KEYS[11 + kind], ARGV[2 + kind])
  if known and tonumber(known) > time then return { 'repeat', standing() } end
end
local held = redis.call('HMGET', FACTS, 'events', 'bytes', 'events:' .. webhook, 'bytes:' .. webhook)
for nth = 1, 4 do held[nth] = tonumber(held[nth] or '0') end
local size = tonumber(ARGV[16])
if held[1] >= tonumber(ARGV[12]) or held[2] + size > tonumber(ARGV[13])
  or held[3] >= tonumber(ARGV[14]) or held[4] + size > tonumber(ARGV[15]) then
  return { 'full', standing() }
end
local given = redis.call('XADD', STREAM, '0-*', 'h', ARGV[10], 'b', ARGV[11])
local id = string.format('%016.0f', tonumber(string.match(given, '%d+$')))
redis.call('ZADD', ALL, tonumber(id), id)
add('events', 1)
add('bytes', bytes)
add('events:' .. webhook, 1)
add('bytes:' .. webhook, bytes)
enter(id, {
  webhook = webhook, order = ARGV[6], name = ARGV[7], received = tonumber(ARGV[8]), bytes = bytes,
  due = time, attempts = 0, failed = 0, by = '', since = 0, reason = '',
}, time)
for kind = 0, 1 do
  local memory, most = KEYS[11 + kind], tonumber(ARGV[17])
  for _, old in ipairs(redis.call('ZRANGEBYSCORE', memory, '-inf', int(time), 'LIMIT', 0, 64)) do
    redis.call('ZREM', memory, old)
  end
  redis.call('ZADD', memory, int(time + tonumber(ARGV[4 + kind])), ARGV[2 + kind])
  local beyond = redis.call('ZCARD', memory) - most
  if beyond > 0 then
    redis.call('ZPOPMIN', memory, math.min(beyond, 64))
    add('forgotten', math.min(beyond, 64))
  end
end
return { 'new', standing() }
