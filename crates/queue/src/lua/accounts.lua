-- Shared by the scripts that add or remove entries: what is counted of them, in the same step in which they come and go.
--
-- KEYS[8] is a hash with
--   "<account>|<lane letter>" -> entries of the account in the lanes normal and low, which its cap is held against; no
--     field means none;
--   "#bytes|<lane letter>" -> bytes that the lane's entries store (see `size_of`); no field means none where the lane is
--     empty, and else that it is not known;
--   "#full|<lane letter>" -> why the lane refuses what is new, see `marks`; "#ended" -> see `recount`;
--   "#remade|<lane letter>" -> see `make_group`.
-- It is right as long as nobody else touches the lanes. A recount puts right what was wrong all the same; while it is on
-- its way, its own hash KEYS[9] is moved too for the entries that it has passed.

local BYTES = { '#bytes|h', '#bytes|n', '#bytes|l' }
-- What this script has moved: by lane the entries of each account, and the bytes. Kept apart until the end, since a field's
-- name costs more to make than all else that is done for an entry.
local moved, moved_bytes, moved_passed, recount_at = { {}, {}, {} }, { 0, 0, 0 }, {}, nil

-- The account of a job that is a mail: its id is "m:<32 hex digits of the account>:<numbers>".
local function account_of(job)
  if string.byte(job, 1) ~= 109 or string.byte(job, 35) ~= 58 then return nil end
  return string.sub(job, 3, 34)
end

-- The field of a job's account; nil where it is not counted: the high lane, and what is no mail. A recount meets what was
-- put into a lane by hand as well, so here the whole id is looked at.
local function account_field(job, lane)
  local account = lane > 1 and job and string.match(job, '^m:%x+:%d+:%d+:%d+$') and account_of(job)
  return account and account .. '|' .. LETTER[lane] or nil
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

local function add(counts, field, by)
  if field then counts[field] = (counts[field] or 0) + by end
end

-- An entry of this job came (1) or went (-1), and so many bytes with it; written down by `write_counts`. `account` is
-- nil where its entries are not counted.
local function count_entry(job, account, lane, id, by, size)
  if account then moved[lane][account] = (moved[lane][account] or 0) + by end
  moved_bytes[lane] = moved_bytes[lane] + by * size
  if recount_at ~= false and is_recounted(lane, id) then
    add(moved_passed, account_field(job, lane), by)
    add(moved_passed, BYTES[lane], by * size)
  end
end

-- In three commands, however many fields: the script is alone, so what it read is still so when it writes.
local function add_counts(key, counts)
  local fields, set, gone = {}, {}, {}
  for field, by in pairs(counts) do
    if by ~= 0 then fields[#fields + 1] = field end
  end
  if #fields == 0 then return end
  local before = redis.call('HMGET', key, unpack(fields))
  for i, field in ipairs(fields) do
    local now = (tonumber(before[i]) or 0) + counts[field]
    -- Never below none, so that a number that was wrong once does not go on being wrong.
    if now > 0 then
      set[#set + 1] = field
      set[#set + 1] = now
    else
      gone[#gone + 1] = field
    end
  end
  if #gone > 0 then redis.call('HDEL', key, unpack(gone)) end
  if #set > 0 then redis.call('HSET', key, unpack(set)) end
end

local function write_counts()
  local counts = {}
  for lane = 1, 3 do
    for account, by in pairs(moved[lane]) do counts[account .. '|' .. LETTER[lane]] = by end
    counts[BYTES[lane]] = moved_bytes[lane]
  end
  add_counts(KEYS[8], counts)
  add_counts(KEYS[9], moved_passed)
end
