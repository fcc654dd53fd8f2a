-- Puts a session into the tier, and gives its lease back.
-- KEYS: session, lease, mark, upsert memory
-- ARGV: token of the lease, fence, value (empty: none), when its life ends in microseconds, most bytes of a value; what was sent
--   to the provider (empty: nothing), milliseconds for which that is remembered
-- Answer: kept | signed_out | older | full
local time = now()
if text(KEYS[2], 64) == ARGV[1] then redis.call('UNLINK', KEYS[2]) end
local fence = number(ARGV[2])
if mark(KEYS[3]) >= fence then return 'signed_out' end -- F-10: mark at or above the fence
if ARGV[6] ~= '' then
  local noted = written('SET', KEYS[4], ARGV[6], 'PX', ARGV[7])
  if type(noted) == 'table' then return noted end
end
local most = tonumber(ARGV[5])
local left = math.floor((number(ARGV[4]) - time) / 1000)
local stored = session(KEYS[1], most)
if stored > fence or ARGV[3] == '' or #ARGV[3] > most or left < 1 then return 'older' end
local kept = written('SET', KEYS[1], digits(fence) .. ARGV[3], 'PX', left)
if type(kept) == 'table' then return kept end
return kept and 'kept' or 'full'
