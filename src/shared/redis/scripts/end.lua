-- Marks a user as signed out, now or as is told again; the larger of old and new stays.
-- KEYS: mark, then sessions of the user that are known
-- ARGV: the mark that is told again (0: now), milliseconds that it stays, most bytes of a value
-- Answer: the mark
local signed_out, highest = mark(KEYS[1])
local told = number(ARGV[1])
local new = math.max(told, signed_out)
local fences = {}
for n = 2, #KEYS do fences[n] = session(KEYS[n], tonumber(ARGV[3])) end
if told == 0 then
  new = math.max(now(), signed_out, highest)
  for n = 2, #KEYS do new = math.max(new, fences[n]) end
end
redis.call('SET', KEYS[1], digits(new) .. digits(highest), 'PX', ARGV[2])
for n = 2, #KEYS do
  if fences[n] <= new then redis.call('UNLINK', KEYS[n]) end
end
return digits(new)
