-- Shared by `done` and `dead_letter`: takes entries of one lane that this consumer owns out of it, with record and blob.
--
-- ARGV: 1 consumer, 2 lane, 3 number of entries; then as many entry ids, as many job ids, what else the script wants of each
--   entry, and for each blob key (KEYS from the tenth on) the place of its entry among them. So in columns, because a column
--   goes to Redis as it came, while what is put into a list first costs more than all that is asked about it.
-- The acknowledgements and deletions come first: they free memory, are allowed at maxmemory, and make the script a
-- writing one, after which Redis lets the rest of it pass as well.

-- Where the column with this number (from 0 on) begins.
local function column(number)
  return 4 + number * tonumber(ARGV[3])
end

-- The blob keys by the place of their entries. `columns`: how many stand before the places.
local function blobs_of(columns)
  local blobs, from = {}, column(columns) - 10
  for i = 10, #KEYS do blobs[tonumber(ARGV[from + i])] = KEYS[i] end
  return blobs
end

-- One look at this consumer's pending list from the first entry on, where those of one claim stand side by side. Returns a
-- function that tells whether an entry is in it; they are asked for in about the order of the list. What is not seen there is
-- asked for by itself.
local function seen_pending(lane, first, count, me)
  local rows, at = group_rows('XPENDING', KEYS[lane], GROUP, first, '+', count + 8, me), 0
  local last = #rows
  return function(id)
    for _ = 1, last do
      at = at < last and at + 1 or 1
      if rows[at][1] == id then return true end
    end
    return false
  end
end

local function remove(me, blobs)
  local lane, n = tonumber(ARGV[2]), tonumber(ARGV[3])
  local first_id, first_job = column(0), column(1)
  local last_id, last_job = first_job - 1, column(2) - 1
  local records = redis.call('HMGET', KEYS[6], unpack(ARGV, first_job, last_job))
  local is_pending, match = seen_pending(lane, ARGV[first_id], n, me), string.match
  -- What the record of an entry that stands in this lane tells: its id and size. `parse` would make eight strings of it.
  local pattern = '^Q|' .. LETTER[lane] .. '|([%d-]+)|(%d+)'
  local replies, strangers, are_strangers, arguments = {}, {}, false, ARGV
  for i = 1, n do
    local id, job = arguments[last_id - n + i], arguments[last_id + i]
    local of, size = match(records[i] or '', pattern)
    local ours = of == id and is_pending(id)
    if not ours then
      local record
      ours, size, record = owned(lane, id, me, job)
      -- Where the job was lost and enqueued again, record and blob belong to its new entry and stay.
      if not record then strangers[i], are_strangers = true, true end
    end
    if ours then count_entry(job, lane > 1 and account_of(job), lane, id, -1, tonumber(size)) end
    replies[i] = ours and 1 or 0
  end
  if are_strangers then
    local ids, jobs = {}, {}
    for i = 1, n do
      if replies[i] == 1 then ids[#ids + 1] = ARGV[last_id - n + i] end
      if not strangers[i] then jobs[#jobs + 1] = ARGV[last_id + i] end
    end
    if #ids > 0 then
      redis.call('XACK', KEYS[lane], GROUP, unpack(ids))
      redis.call('XDEL', KEYS[lane], unpack(ids))
    end
    if #jobs > 0 then redis.call('HDEL', KEYS[6], unpack(jobs)) end
  else
    redis.call('XACK', KEYS[lane], GROUP, unpack(ARGV, first_id, last_id))
    redis.call('XDEL', KEYS[lane], unpack(ARGV, first_id, last_id))
    redis.call('HDEL', KEYS[6], unpack(ARGV, first_job, last_job))
  end
  for i, blob in pairs(blobs) do
    if not strangers[i] then redis.call('UNLINK', blob) end
  end
  write_counts()
  return replies
end
