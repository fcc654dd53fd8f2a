-- Keeps a lease that is still ours.
-- KEYS: lease
-- ARGV: its token, milliseconds of a lease
-- Answer: 1, or 0 where it is another's
if text(KEYS[1], 64) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
