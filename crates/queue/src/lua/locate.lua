-- locate: where one job is. Reads only.
--
-- KEYS: those of the prelude.
-- ARGV: 1 job id.
-- Reply: nil where the queue does not know it; else { record, state, detail, idle in ms, what was said who paused its lane
--   or nil } with state `waiting`, `in_flight` (detail: consumer), `delayed` (detail: due time in ms), `dead`.
local text = redis.call('HGET', KEYS[6], ARGV[1])
local record = parse(text)
if not record then return false end
if record.state == 'X' then return { text, 'dead', '', 0, false } end
local lane = INDEX[record.lane]
if #redis.call('XRANGE', KEYS[lane], record.id, record.id) == 0 then return false end
local paused = paused_lanes()[lane]
local row = group_rows('XPENDING', KEYS[lane], GROUP, record.id, record.id, 1)[1]
-- The due time alone says nothing: it outlives a group that was lost.
if row and row[2] == 'delayed' then
  local due = redis.call('ZSCORE', KEYS[4], record.lane .. ':' .. record.id)
  return { text, 'delayed', due or 0, 0, paused }
end
if not row or row[2] == 'released' or row[2] == 'alone' then return { text, 'waiting', '', 0, paused } end
return { text, 'in_flight', row[2], row[3], paused }
