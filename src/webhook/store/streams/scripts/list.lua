-- A page of the events, in the order of acceptance. ARGV: the last of the page before, how many.
local rows = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', ALL, '(' .. ARGV[1], '+inf', 'LIMIT', 0, tonumber(ARGV[2]))) do
  local event = load(id)
  if event then
    rows[#rows + 1] = {
      id, event.webhook, event.name, event.reason, int(event.received), int(event.due), event.attempts, event.bytes,
    }
  else
    rows[#rows + 1] = { id }
  end
end
return rows
