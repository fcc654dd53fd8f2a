-- What became of taken events. ARGV: who took them, and of each its id, what became of it, a time or the reason.
through()
local time = now()
for nth = 2, #ARGV - 2, 3 do
  local id, what, more = ARGV[nth], ARGV[nth + 1], ARGV[nth + 2]
  local event = load(id)
  -- One that another took meanwhile is that one's; but what the application has, it has.
  if event and what == 'delivered' then
    remove(id, event, time)
  elseif event and event.by == ARGV[1] then
    if what == 'dead' then
      event.by, event.reason, event.due = '', more, time
      save(id, event)
      leave(id, event, time)
      redis.call('ZADD', ASIDE, int(time), id)
    else
      event.due = time + tonumber(more)
      if what == 'again' then
        event.attempts = event.attempts + 1
        if event.order ~= '' and event.failed == 0 then
          event.failed = event.since
          redis.call('ZADD', HOLDING, int(event.failed + PATIENCE), id)
        end
      end
      release(id, event, time)
    end
  end
end
return standing()
