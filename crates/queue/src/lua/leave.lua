-- leave: a consumer says good-bye. What it holds is handed back and counted as a drain, what it owns without knowing
-- (claims whose replies were lost) is given back uncounted, and then its name goes.
--
-- KEYS: those of the prelude.
-- ARGV: 1 consumer, 2 doorbell channel; then for each held entry: lane (1-3), entry id, job id.
-- Reply: the number of lanes in which it still owns something (0 in practice; more than 1,000 lost replies a lane).
-- Safe: XGROUP DELCONSUMER drops whatever is pending for the name, so the check for "nothing pending" and the removal
--   must be one step, as they are here.
local me, remaining = ARGV[1], 0
for i = 3, #ARGV, 3 do
  release(me, tonumber(ARGV[i]), ARGV[i + 1], ARGV[i + 2], true)
end
for lane = 1, 3 do
  for _, row in ipairs(group_rows('XPENDING', KEYS[lane], GROUP, '-', '+', 1000, me)) do
    release(me, lane, row[1], '', false)
  end
  if #group_rows('XPENDING', KEYS[lane], GROUP, '-', '+', 1, me) == 0 then
    redis.pcall('XGROUP', 'DELCONSUMER', KEYS[lane], GROUP, me)
  else
    remaining = remaining + 1
  end
end
redis.call('PUBLISH', ARGV[2], 'released')
return remaining
