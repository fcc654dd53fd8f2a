-- An operator replays or drops an event of the webhook. ARGV: id, "replay" or "drop", its wait or the reason.
through()
local time, id = now(), ARGV[1]
local event = load(id)
if not event then return 0 end
if ARGV[2] == 'drop' then
  remove(id, event, time)
  redis.call('RPUSH', KEYS[13], event.name .. ' ' .. ARGV[3])
  redis.call('LTRIM', KEYS[13], -1000, -1)
else
  event.attempts, event.failed, event.reason = 0, 0, ''
  event.due = time + tonumber(ARGV[3])
  redis.call('ZREM', ASIDE, id)
  redis.call('ZREM', HOLDING, id)
  -- One that is taken goes on.
  enter(id, event, time)
end
return 1
