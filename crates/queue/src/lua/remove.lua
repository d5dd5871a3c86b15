-- Shared by `done` and `dead_letter`: takes entries that this consumer owns out of their lanes, with record and blob.
--
-- `entries`: list of { lane, id, job, blob }. Returns a list with, for each entry, `true` when it was ours and is now
-- gone, else `false`. The acknowledgements and deletions come first: they free memory, are allowed at maxmemory, and
-- make the script a writing one, after which Redis lets the rest of it pass as well.
local function remove(me, entries)
  local ours, ids = {}, { {}, {}, {} }
  for i, entry in ipairs(entries) do
    ours[i] = owned(entry.lane, entry.id, me, entry.job) ~= nil
    if ours[i] then table.insert(ids[entry.lane], entry.id) end
  end
  for lane = 1, 3 do
    if #ids[lane] > 0 then
      redis.call('XACK', KEYS[lane], GROUP, unpack(ids[lane]))
      redis.call('XDEL', KEYS[lane], unpack(ids[lane]))
    end
  end
  for i, entry in ipairs(entries) do
    -- Where the job was lost and enqueued again, record and blob belong to its new entry and stay.
    if ours[i] and own_record(entry.job, entry.lane, entry.id) then
      redis.call('HDEL', KEYS[6], entry.job)
      redis.call('UNLINK', entry.blob)
    end
    if ours[i] then count_entry(entry.job, entry.lane, entry.id, -1) end
  end
  write_counts()
  return ours
end
