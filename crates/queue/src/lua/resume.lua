-- resume: a lane is worked on again; or everything that was paused or closed is as before.
--
-- KEYS: those of the prelude.
-- ARGV: 1 doorbell channel, 2 lane (`high`, `normal`, `low`), or '' for everything.
-- Reply: how many pauses (and closings) were lifted by it. Safe: where all lanes were paused by one word and one of them
--   is resumed, the others get that word each, in the same step, so that they stay paused throughout.
local lifted
if ARGV[2] == '' then
  lifted = redis.call('HDEL', KEYS[7], 'high', 'normal', 'low', 'all', 'closed')
else
  local all = redis.call('HGET', KEYS[7], 'all')
  lifted = redis.call('HDEL', KEYS[7], ARGV[2], 'all')
  if all then
    for _, lane in ipairs({ 'high', 'normal', 'low' }) do
      if lane ~= ARGV[2] then redis.call('HSETNX', KEYS[7], lane, all) end
    end
  end
end
if lifted > 0 then redis.call('PUBLISH', ARGV[1], 'resumed') end
return lifted
