-- pause: from now on claims leave a lane alone (or all of them), or enqueues are refused.
--
-- KEYS: those of the prelude.
-- ARGV: 1 what (`high`, `normal`, `low`, `all`: nothing new is taken of it; `closed`: nothing new enters the queue),
--   2 by whom, 3 why ('' where nothing was said).
-- Reply: 1. Safe: one field; the later word on the same field replaces the earlier. The removing write comes first, so
--   that it works at maxmemory, where somebody may want to close a queue.
redis.call('HDEL', KEYS[7], ARGV[1])
local said = { by = ARGV[2], at_ms = now_ms() }
if ARGV[3] ~= '' then said.reason = ARGV[3] end
redis.call('HSET', KEYS[7], ARGV[1], cjson.encode(said))
return 1
