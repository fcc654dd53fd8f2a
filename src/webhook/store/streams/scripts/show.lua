-- What is held of an event. ARGV: its id.
local held = redis.call('XRANGE', STREAM, entry(ARGV[1]), entry(ARGV[1]))[1]
if not held then return {} end
return { held[2][2], held[2][4] }
