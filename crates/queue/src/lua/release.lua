-- Shared by `hand_back` and `leave`: gives one entry of this consumer back, to be taken before what is new in its lane.
--
-- The entry stays in stream and pending list and only changes owner (never XADD to the tail, which would put it last).
-- `job` is '' where it is not known. Returns whether it was ours.
local function release(me, lane, id, job, counted)
  local count, _, record
  if job == '' then count = pending(lane, id, me) else count, _, record = owned(lane, id, me, job) end
  if not count then return false end
  redis.call('XCLAIM', KEYS[lane], GROUP, waiting_owner(count), 0, id, 'IDLE', RIPE_MS, 'RETRYCOUNT', at_rest(count),
    'JUSTID')
  if record and counted then
    record.drains = record.drains + 1
    redis.call('HSET', KEYS[6], job, format(record))
  end
  return true
end
