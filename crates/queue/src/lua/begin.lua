-- begin: an entry runs from now on with nothing else of its process at work, so that a death of the process is its own.
--
-- KEYS: those of the prelude.
-- ARGV: 1 consumer, 2 lane (1-3), 3 entry id, 4 job id.
-- Reply: 1 (begun) or 0 (not ours any more: nothing was touched).
-- Safe: only an owned entry is marked, by its delivery count; every other move of it takes the mark away, so that it speaks
--   of this run alone. A second run changes nothing. JUSTID, and allowed at maxmemory.
local lane, id = tonumber(ARGV[2]), ARGV[3]
local count = owned(lane, id, ARGV[1], ARGV[4])
if not count then return 0 end
local begun = math.max(at_rest(count), SUSPECT) + 1
redis.call('XCLAIM', KEYS[lane], GROUP, ARGV[1], 0, id, 'RETRYCOUNT', begun, 'JUSTID')
return 1
