-- locate: where one job is. Reads only.
--
-- KEYS: the seven of the prelude.
-- ARGV: 1 job id.
-- Reply: nil where the queue does not know it; else { record, state, detail, idle in ms } with state `waiting`,
--   `in_flight` (detail: consumer), `delayed` (detail: due time in ms), `dead`.
local text = redis.call('HGET', KEYS[6], ARGV[1])
local record = parse(text)
if not record then return false end
if record.state == 'X' then return { text, 'dead', '', 0 } end
local lane = INDEX[record.lane]
if #redis.call('XRANGE', KEYS[lane], record.id, record.id) == 0 then return false end
local due = redis.call('ZSCORE', KEYS[4], record.lane .. ':' .. record.id)
if due then return { text, 'delayed', due, 0 } end
local row = group_rows('XPENDING', KEYS[lane], GROUP, record.id, record.id, 1)[1]
if not row or row[2] == 'released' or row[2] == 'alone' then return { text, 'waiting', '', 0 } end
return { text, 'in_flight', row[2], row[3] }
