-- live: which of these jobs are in a lane, held or delayed. The sweep asks this about messages without an outcome.
--
-- KEYS: those of the prelude.
-- ARGV: job ids.
-- Reply: for each job 1 (live), 0 (not; a dead job is not live), 2 (live, and nobody would have taken it until now) or
--   3 (not, but its record said so until now).
-- Safe: a record whose entry is gone (deleted or evicted by somebody else) would keep its job out of the queue for ever:
--   it is removed here, so that the sweep can enqueue the job again. So would an entry that was read and is pending with
--   nobody (after an XACK, XGROUP DELCONSUMER or SETID by hand), or waits for a due time that was lost: nobody would ever
--   take it. It goes next from here on. If somebody still works on it, that one has lost its lease, and finds out as always.
local replies, read_up_to = {}, {}

local function is_read(lane, id)
  if not read_up_to[lane] then read_up_to[lane] = { id_parts(last_read(lane)) } end
  local ms, seq = id_parts(id)
  local last_ms, last_seq = unpack(read_up_to[lane])
  return ms < last_ms or (ms == last_ms and seq <= last_seq)
end

-- An entry that nobody would take is made ripe; whether it was such a one. XCLAIM alone, which is allowed at maxmemory.
local function put_right(lane, record)
  local id = record.id
  local row = group_rows('XPENDING', KEYS[lane], GROUP, id, id, 1)[1]
  if row and row[2] == 'delayed' and not redis.call('ZSCORE', KEYS[4], LETTER[lane] .. ':' .. id) then
    redis.call('XCLAIM', KEYS[lane], GROUP, waiting_owner(tonumber(row[4])), 0, id, 'IDLE', RIPE_MS, 'JUSTID')
    return true
  elseif not row and is_read(lane, id) then
    -- What its delivery count said is lost; what its record says is not.
    local count = record.crashes > 0 and 2 or 1
    redis.call('XCLAIM', KEYS[lane], GROUP, waiting_owner(count), 0, id, 'IDLE', RIPE_MS, 'RETRYCOUNT', count, 'FORCE',
      'JUSTID')
    return true
  end
  return false
end

for i, job in ipairs(ARGV) do
  local record = parse(redis.call('HGET', KEYS[6], job))
  replies[i] = 0
  if record and record.state == 'Q' then
    local lane = INDEX[record.lane]
    if #redis.call('XRANGE', KEYS[lane], record.id, record.id) > 0 then
      replies[i] = put_right(lane, record) and 2 or 1
    else
      replies[i] = 3
      redis.call('HDEL', KEYS[6], job)
      count_entry(job, lane > 1 and account_of(job), lane, record.id, -1, record.size or 0)
    end
  end
end
write_counts()
return replies
