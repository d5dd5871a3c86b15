-- Shared by `done` and `dead_letter`: takes entries that this consumer owns out of their lanes, with record and blob.
--
-- Lane, entry id, job id and blob key (where there is one) of the entries stand in four lists. Returns a list with, for each
-- entry, 1 when it was ours and is now gone, else 0. The acknowledgements and deletions come first: they free memory,
-- are allowed at maxmemory, and make the script a writing one, after which Redis lets the rest of it pass as well.

-- The entries that ARGV names from its second on, each with so many arguments, of which the first three are lane (1-3; "b"
-- after it where there is a blob, whose key is the next one then), entry id and job id.
local function entries_in_arguments(each)
  local lanes, ids, jobs, blobs, seen = {}, {}, {}, {}, 9
  for i = 2, #ARGV, each do
    local n, lane = #ids + 1, ARGV[i]
    lanes[n], ids[n], jobs[n] = string.byte(lane) - 48, ARGV[i + 1], ARGV[i + 2]
    if #lane > 1 then
      seen = seen + 1
      blobs[n] = KEYS[seen]
    end
  end
  return lanes, ids, jobs, blobs
end

local LETTER_BYTE = { string.byte('h'), string.byte('n'), string.byte('l') }

-- The delivery counts of a batch's entries of one lane, by entry id: one look at this consumer's pending list from the
-- first of them on, where those of one claim stand side by side. What is not seen there is asked for by itself.
local function pending_from(lane, ids, me)
  local counts = {}
  if #ids == 0 then return counts end
  for _, row in ipairs(group_rows('XPENDING', KEYS[lane], GROUP, ids[1], '+', #ids + 8, me)) do
    counts[row[1]] = row[4]
  end
  return counts
end

-- The size that a record tells, if it speaks of this very entry and tells one; else nil. The pattern of `parse` would make
-- eight strings to find that out.
local function size_in(record, lane, id)
  local after = 5 + #id
  if string.byte(record, 1) ~= 81 or string.byte(record, 3) ~= LETTER_BYTE[lane] or string.byte(record, after) ~= 124
    or string.find(record, id, 5, true) ~= 5 then return nil end
  return tonumber(string.match(record, '^%d+', after + 1))
end

local function remove(me, lanes, ids, jobs, blobs)
  local by_lane, records, counts = { {}, {}, {} }, records_of(jobs), {}
  for i, id in ipairs(ids) do
    local of = by_lane[lanes[i]]
    of[#of + 1] = id
  end
  for lane = 1, 3 do counts[lane] = pending_from(lane, by_lane[lane], me) end
  local gone, gone_jobs, gone_blobs, sizes, replies = { {}, {}, {} }, {}, {}, {}, {}
  for i, id in ipairs(ids) do
    local lane, record = lanes[i], records[i]
    local size = record and counts[lane][id] and size_in(record, lane, id)
    local ours, own = size, size
    if not size then
      local count, found, of_job = owned(lane, id, me, jobs[i])
      ours, size, own = count, found, of_job
    end
    if ours then
      local of = gone[lane]
      of[#of + 1] = id
      sizes[i] = size
    end
    -- Where the job was lost and enqueued again, record and blob belong to its new entry and stay.
    if own then
      gone_jobs[#gone_jobs + 1] = jobs[i]
      gone_blobs[#gone_blobs + 1] = blobs[i]
    end
    replies[i] = ours and 1 or 0
  end
  for lane = 1, 3 do
    if #gone[lane] > 0 then
      redis.call('XACK', KEYS[lane], GROUP, unpack(gone[lane]))
      redis.call('XDEL', KEYS[lane], unpack(gone[lane]))
    end
  end
  if #gone_jobs > 0 then redis.call('HDEL', KEYS[6], unpack(gone_jobs)) end
  if #gone_blobs > 0 then redis.call('UNLINK', unpack(gone_blobs)) end
  for i, id in ipairs(ids) do
    local lane, job = lanes[i], jobs[i]
    if sizes[i] then count_entry(job, lane > 1 and account_of(job), lane, id, -1, sizes[i]) end
  end
  write_counts()
  return replies
end
