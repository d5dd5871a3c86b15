-- Shared by `done` and `dead_letter`: takes entries that this consumer owns out of their lanes, with record and blob.
--
-- `entries`: list of { lane, id, job, blob }. Returns a list with, for each entry, `true` when it was ours and is now
-- gone, else `false`. The acknowledgements and deletions come first: they free memory, are allowed at maxmemory, and
-- make the script a writing one, after which Redis lets the rest of it pass as well.

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

-- `owned` for a batch: for each entry whether it is this consumer's, its size, and whether the job's record speaks of it.
local function owned_all(me, entries)
  local jobs, ids, ours, sizes, own = {}, { {}, {}, {} }, {}, {}, {}
  for i, entry in ipairs(entries) do
    jobs[i] = entry.job
    table.insert(ids[entry.lane], entry.id)
  end
  local records, counts = records_of(jobs), {}
  for lane = 1, 3 do counts[lane] = pending_from(lane, ids[lane], me) end
  for i, entry in ipairs(entries) do
    local said = 'Q|' .. LETTER[entry.lane] .. '|' .. entry.id .. '|'
    local record = records[i]
    local size = record and string.sub(record, 1, #said) == said and string.match(record, '^%d+', #said + 1)
    if size and counts[entry.lane][entry.id] then
      ours[i], sizes[i], own[i] = true, tonumber(size), true
    else
      local count, found, mine = owned(entry.lane, entry.id, me, entry.job)
      ours[i], sizes[i], own[i] = count ~= nil, found, mine ~= nil
    end
  end
  return ours, sizes, own
end

local function remove(me, entries)
  local ours, sizes, own = owned_all(me, entries)
  local ids, jobs, blobs = { {}, {}, {} }, {}, {}
  for i, entry in ipairs(entries) do
    if ours[i] then table.insert(ids[entry.lane], entry.id) end
    -- Where the job was lost and enqueued again, record and blob belong to its new entry and stay.
    if own[i] then
      jobs[#jobs + 1] = entry.job
      blobs[#blobs + 1] = entry.blob
    end
  end
  for lane = 1, 3 do
    if #ids[lane] > 0 then
      redis.call('XACK', KEYS[lane], GROUP, unpack(ids[lane]))
      redis.call('XDEL', KEYS[lane], unpack(ids[lane]))
    end
  end
  if #jobs > 0 then redis.call('HDEL', KEYS[6], unpack(jobs)) end
  if #blobs > 0 then redis.call('UNLINK', unpack(blobs)) end
  for i, entry in ipairs(entries) do
    if ours[i] then count_entry(entry.job, entry.lane, entry.id, -1, sizes[i]) end
  end
  write_counts()
  return ours
end
