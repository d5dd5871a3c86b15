-- Prelude of every script: the shared layout and the ownership check. It is put before each script's own text.
--
-- KEYS (the same first nine for every script): 1 high, 2 normal, 3 low (streams), 4 delayed (sorted set of
--   "<lane letter>:<entry id>" by due time in ms), 5 dead (stream), 6 live (hash, job id -> record), 7 paused (hash: `high`, `normal`, `low`,
--   `all`, `closed` -> what an operator said, see `pause.rs`), 8 accounts and 9 recount (hashes: what is counted, see
--   `accounts`, and which lanes refuse, see `marks`).
--   All carry one hash tag, so a script touches one cluster slot.
-- Entry of a lane: `j` job id, `e` envelope, then `r` the raw bytes as stored, or, where they are kept beside it, `b`
--   their size before compression and `s` as stored; `once` for a replay.
-- Record of a live job: "<state>|<lane letter>|<entry id>|<size>|<attempts>|<crashes>|<drains>|<history JSON>", cut short
--   to its first four parts for a job that has been through nothing yet. State Q: the entry stands in its lane (new,
--   held, or with one of the pseudo consumers below) and stores so many bytes (see `size_of`); X: dead, and the id is
--   that of the entry in the dead stream.
-- Pseudo consumers of the group: `released` (goes before what is new), `alone` (the same, but runs alone: its
--   delivery count is 2 or more), `delayed` (waits for its due time).
-- The delivery count is not a number of deliveries but what is known against an entry; only `reclaim` and `begin` raise it:
--   1 nothing; 2 its consumer died on it, or on another of its batch: it runs alone from now on; 3 (SUSPECT) a consumer
--   died once more with it in hand: it runs with nothing else of its process at work. One more than an odd number from 3 on:
--   it does so at this moment, and a death now is its own, a crash. Two more: a consumer died with it in hand before that;
--   ten times are free (LAST_FREE), then each is a crash as well, so that what kills whoever takes it ends at last.

local GROUP = 'consumers'
local LETTER = { 'h', 'n', 'l' }
local INDEX = { h = 1, n = 2, l = 3 }
-- Idle time given to what waits with a pseudo consumer: it is nobody's lease and always ripe to be taken.
local RIPE_MS = 86400000
local SUSPECT, LAST_FREE = 3, 23

local function is_no_group(reply)
  return type(reply) == 'table' and reply.err and string.find(reply.err, 'NOGROUP', 1, true)
end

-- A group command whose stream or group may be gone (FLUSHALL, eviction): then there is nothing, which is no error.
local function group_rows(...)
  local reply = redis.pcall(...)
  if type(reply) == 'table' and reply.err then
    -- XINFO says "no such key" where the others say NOGROUP.
    if is_no_group(reply) or string.find(reply.err, 'no such key', 1, true) then return {} end
    error(reply)
  end
  return reply or {}
end

-- What XINFO says of the group of a lane; nil where stream or group is gone.
local function group_of(lane)
  for _, info in ipairs(group_rows('XINFO', 'GROUPS', KEYS[lane])) do
    local about = {}
    for i = 1, #info, 2 do about[info[i]] = info[i + 1] end
    if about.name == GROUP then return about end
  end
  return nil
end

-- Makes the group of a lane where there is none: from 0, never from `$`, which would pass over what is already in the
-- stream. Its entries come as new ones then, although they may have been through something: the last of them is noted in
-- KEYS[8] until it is read. Returns whether the group was made, and that entry's id.
local REMADE = { '#remade|h', '#remade|n', '#remade|l' }
local function make_group(lane)
  local reply = redis.pcall('XGROUP', 'CREATE', KEYS[lane], GROUP, '0', 'MKSTREAM')
  if type(reply) == 'table' and reply.err then
    if not string.find(reply.err, 'BUSYGROUP', 1, true) then error(reply) end
    return false
  end
  local last = redis.call('XREVRANGE', KEYS[lane], '+', '-', 'COUNT', 1)[1]
  if last then redis.call('HSET', KEYS[8], REMADE[lane], last[1]) end
  return true, last and last[1]
end

-- The delivery count of an entry that `owner` still owns, else nil. Every move asks this first: XCLAIM, XACK and XDEL
-- themselves do not care who owns an entry, so a stale owner could take it from its new one.
local function pending(lane, id, owner)
  local row = group_rows('XPENDING', KEYS[lane], GROUP, id, id, 1, owner)[1]
  return row and tonumber(row[4])
end

local function waiting_owner(count)
  return count >= 2 and 'alone' or 'released'
end

-- Whether a delivery count says that the entry runs by itself at this moment.
local function is_begun(count)
  return count > SUSPECT and count % 2 == 0
end

-- The count of an entry that is not being run any more (or not yet).
local function at_rest(count)
  return is_begun(count) and count - 1 or count
end

local function now_ms()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- For each lane what an operator said who paused it, else false.
local function paused_lanes()
  local words = redis.call('HMGET', KEYS[7], 'high', 'normal', 'low', 'all')
  return { words[1] or words[4], words[2] or words[4], words[3] or words[4] }
end

local function parse(record)
  if not record then return nil end
  local state, lane, id, size, attempts, crashes, drains, history =
    string.match(record, '^(%u)|(%a)|([%d%-]+)|?(%d*)|?(%d*)|?(%d*)|?(%d*)|?(.*)$')
  if not state then return nil end
  return {
    state = state, lane = lane, id = id, size = tonumber(size), history = history,
    attempts = tonumber(attempts) or 0, crashes = tonumber(crashes) or 0, drains = tonumber(drains) or 0,
  }
end

local function format(record)
  return table.concat({ record.state, record.lane, record.id, record.size or '', record.attempts, record.crashes,
    record.drains, record.history }, '|')
end

local function is_of(record, lane, id)
  return record.state == 'Q' and record.lane == LETTER[lane] and record.id == id
end

-- The job id that stands in an entry's fields.
local function job_of(fields)
  for i = 1, #fields, 2 do
    if fields[i] == 'j' then return fields[i + 1] end
  end
  return nil
end

-- What an entry stores in bytes: job id, envelope and raw mail, in it or beside it. What is no entry of ours, and so has
-- no envelope, stores nothing of ours: enqueue has not counted it either.
local function size_of(fields)
  local of = {}
  for i = 1, #fields, 2 do of[fields[i]] = fields[i + 1] end
  if not of.j or not of.e then return 0 end
  return #of.j + #of.e + (of.r and #of.r or tonumber(of.s) or 0)
end

-- A record for an entry that lost its own.
local function new_record(lane, id, size)
  return { state = 'Q', lane = LETTER[lane], id = id, size = size, attempts = 0, crashes = 0, drains = 0, history = '' }
end

-- `pending`, and that the entry is this job's: ids are times, so after a loss of everything and with a clock that was set
-- back another job can have the id. What was deleted by hand is nobody else's. The entry, which carries its mail, is
-- only read where the record does not tell.
--
-- Returns the delivery count, or nil where it is not owned; the entry's size; and the record as far as it speaks of this
-- very entry, a new one where there is none, nil where the job has another entry by now (it was lost and enqueued again):
-- that one's record is not ours to touch.
local function owned(lane, id, owner, job)
  local count = pending(lane, id, owner)
  if not count then return nil end
  local record = parse(redis.call('HGET', KEYS[6], job))
  local own = record and is_of(record, lane, id)
  if own and record.size then return count, record.size, record end
  local entry = redis.call('XRANGE', KEYS[lane], id, id)[1]
  if not own and entry and job_of(entry[2]) ~= job then return nil end
  local size = entry and size_of(entry[2]) or 0
  if own then record.size = size end
  if own or not record then return count, size, record or new_record(lane, id, size) end
  return count, size, nil
end

-- The records of jobs, in their order; false where there is none.
local function records_of(jobs)
  if #jobs == 0 then return {} end
  return redis.call('HMGET', KEYS[6], unpack(jobs))
end

-- What an entry will weigh in its consumer's memory: raw bytes inside it, or the raw size written down for its blob.
local function weight(fields)
  for i = 1, #fields, 2 do
    if fields[i] == 'r' then return #fields[i + 1] end
    if fields[i] == 'b' then return tonumber(fields[i + 1]) or 0 end
  end
  return 0
end

-- Pending entries that were no longer in their stream when somebody was to take them: deleted or trimmed by somebody else.
-- XCLAIM gives nothing for such a one, and takes it off the pending list.
local vanished = 0

-- The taken entries as the client reads them: lane, entry id, delivery count, exhausted (0/1), record, fields.
local function report(taken)
  local jobs, replies = {}, {}
  for i, entry in ipairs(taken) do jobs[i] = job_of(entry.fields) or '' end
  local records = records_of(jobs)
  for i, entry in ipairs(taken) do
    replies[i] = { entry.lane, entry.id, entry.count, entry.exhausted and 1 or 0, records[i] or '', entry.fields }
  end
  return replies
end
