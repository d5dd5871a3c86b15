-- locate: where one job is. Reads only.
--
-- KEYS: those of the prelude.
-- ARGV: 1 job id.
-- Reply: nil where the queue does not know it; else { record, state, detail, idle in ms, envelope, what was said who paused
--   its lane or nil } with state `waiting` (detail: `new`, `released`, `alone`), `in_flight` (detail: consumer), `delayed`
--   (detail: due time in ms), `dead`.
local text = redis.call('HGET', KEYS[6], ARGV[1])
local record = parse(text)
if not record then return false end
if record.state == 'X' then return { text, 'dead', '', 0, '', false } end
local lane = INDEX[record.lane]
local entry = redis.call('XRANGE', KEYS[lane], record.id, record.id)[1]
if not entry then return false end
local envelope = ''
for i = 1, #entry[2], 2 do
  if entry[2][i] == 'e' then envelope = entry[2][i + 1] end
end
local paused = paused_lanes()[lane]
local row = group_rows('XPENDING', KEYS[lane], GROUP, record.id, record.id, 1)[1]
-- The due time alone says nothing: it outlives a group that was lost.
if row and row[2] == 'delayed' then
  local due = redis.call('ZSCORE', KEYS[4], record.lane .. ':' .. record.id)
  return { text, 'delayed', due or 0, 0, envelope, paused }
end
if not row or row[2] == 'released' or row[2] == 'alone' then
  return { text, 'waiting', row and row[2] or 'new', 0, envelope, paused }
end
return { text, 'in_flight', row[2], row[3], envelope, paused }
