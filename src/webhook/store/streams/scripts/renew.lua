-- Leases go on. ARGV: who took them, how long, and the ids.
through()
local time = now()
for nth = 3, #ARGV do
  local event = load(ARGV[nth])
  if event and event.by == ARGV[1] then
    redis.call('ZADD', TAKEN, 'XX', int(time + tonumber(ARGV[2])), ARGV[nth])
  end
end
return standing()
