-- Shared by the scripts that add or remove entries: how many entries each account has in the lanes normal and low, which
-- is what its cap is held against.
--
-- KEYS[8] is a hash "<account>|<lane letter>" -> entries; no field means none. It is moved in the same step as the
-- entries, so it is right as long as nobody else touches them. A recount (see `recount`) puts right what was wrong all the
-- same; while it is on its way, its own hash KEYS[9] is moved too for the entries that it has passed.

local moved, moved_passed, recount_at = {}, {}, nil

-- The field of a job's account; nil where it is not counted: the high lane, and what is no mail.
local function account_field(job, lane)
  if lane == 1 or not job then return nil end
  local account = string.match(job, '^m:(%x+):%d+:%d+:%d+$')
  return account and #account == 32 and account .. '|' .. LETTER[lane] or nil
end

local function id_parts(id)
  local ms, seq = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(seq)
end

-- Whether a recount that is on its way is beyond this entry.
local function is_recounted(lane, id)
  if recount_at == nil then
    local at_lane, at_id = string.match(redis.call('HGET', KEYS[9], '#at') or '', '^(%d)|(.+)$')
    recount_at = at_lane and { lane = tonumber(at_lane), id = at_id } or false
  end
  if not recount_at then return false end
  if lane ~= recount_at.lane then return lane < recount_at.lane end
  local ms, seq = id_parts(id)
  local at_ms, at_seq = id_parts(recount_at.id)
  return ms < at_ms or (ms == at_ms and seq <= at_seq)
end

-- An entry of this job came (1) or went (-1); written down by `write_counts`.
local function count_entry(job, lane, id, by)
  local field = account_field(job, lane)
  if not field then return end
  moved[field] = (moved[field] or 0) + by
  if is_recounted(lane, id) then moved_passed[field] = (moved_passed[field] or 0) + by end
end

local function add_counts(key, counts)
  for field, by in pairs(counts) do
    -- Never below none, so that a number that was wrong once does not go on being wrong.
    if by ~= 0 and redis.call('HINCRBY', key, field, by) <= 0 then redis.call('HDEL', key, field) end
  end
end

local function write_counts()
  add_counts(KEYS[8], moved)
  add_counts(KEYS[9], moved_passed)
end
