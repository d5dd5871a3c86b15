-- keep_alive: the idle time of held entries goes back to zero, so that nobody takes them for a dead consumer's.
--
-- KEYS: those of the prelude.
-- ARGV: 1 consumer; then for each entry: lane (1-3), entry id, job id ('' where it is not known).
-- Reply: for each entry 1 (lease renewed) or 0 (not ours any more).
-- Safe: touches only what this consumer owns, and only while the entry is that job's: after a loss of everything another
--   job can have its id. JUSTID does not raise the delivery count. Allowed at maxmemory. It is run without entries as well,
--   to learn whether leases can be renewed.
local me, replies, ids = ARGV[1], {}, { {}, {}, {} }
-- Changes nothing, but whoever takes no writes refuses it.
redis.call('ZREM', KEYS[4], '')
for i = 2, #ARGV, 3 do
  local lane, id, job = tonumber(ARGV[i]), ARGV[i + 1], ARGV[i + 2]
  local count
  if job == '' then count = pending(lane, id, me) else count = owned(lane, id, me, job) end
  local ours = count ~= nil
  if ours then table.insert(ids[lane], id) end
  replies[#replies + 1] = ours and 1 or 0
end
for lane = 1, 3 do
  if #ids[lane] > 0 then
    local claim = { 'XCLAIM', KEYS[lane], GROUP, me, 0 }
    for _, id in ipairs(ids[lane]) do table.insert(claim, id) end
    table.insert(claim, 'JUSTID')
    redis.call(unpack(claim))
  end
end
return replies
