-- reclaim: entries whose owner let its lease run out go on elsewhere, alone; names of the dead are forgotten.
--
-- KEYS: those of the prelude.
-- ARGV: 1 consumer, 2 doorbell channel, 3 lease in ms, 4 max (entries looked at), 5 max_crashes, 6 bytes, 7 alone (how
--   many that must run alone may be taken now), 8 idle time in ms after which a name without entries is forgotten,
--   9 the server's time in ms after which nothing is taken, 10 number of held entries; then those as
--   "<lane letter>:<id>": the caller's own live work is never taken.
-- Reply: { the taken entries (see `report`): at most `alone` to be run, besides those that are out of crashes; how many
--   pending entries have vanished }.
-- Safe: asks each real consumer's own pending list for what is idle for a lease, so the pseudo consumers' entries are
--   never seen, and neither a long list of fresh entries nor of waiting ones hides an old one; the server filters before
--   it counts, so that no cursor is needed to get to the end. Delivery count 1 means the entry was in a batch, which
--   may have died of another entry: the first reclaim only makes it run alone (count 2) and is free. So is the second: its
--   process may have died of another batch; from then on (count 3) it runs with nothing beside it, after a `begin`. What is
--   found here begun has cost its process: one crash. What cannot be taken now waits with `alone`, where every consumer
--   takes one at a time. So does what is found in a paused lane: to run it again would be to begin something there.
--   A script that was sent before the server stood still runs after it, when every lease looks as if it had run out: so it
--   looks at the time first.
local not_after = tonumber(ARGV[9])
if now_ms() > not_after then return { {}, 0 } end
local me, lease, max, max_crashes = ARGV[1], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local budget, alone_left, forget = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local held, taken, bytes, seen, rang = {}, {}, 0, 0, false
local paused = paused_lanes()
for i = 11, 10 + tonumber(ARGV[10]) do held[ARGV[i]] = true end

-- A history with the crash of `owner` in it, within the bounds of `record.rs`. One that cannot be read costs the story.
local HISTORY_MAX = 20
local function with_crash(history, owner)
  local read, attempts = pcall(cjson.decode, history)
  if not read or type(attempts) ~= 'table' then attempts = {} end
  while #attempts >= HISTORY_MAX do table.remove(attempts, 1) end
  attempts[#attempts + 1] = {
    at_ms = now_ms(), worker = owner, class = 'hostile', error = 'its process died on it, or stood still for a whole lease',
  }
  return cjson.encode(attempts)
end

-- How many crashes the entry has; one more where `owner` has just died of it.
local function crashes(job, lane, id, fields, owner)
  local record = parse(redis.call('HGET', KEYS[6], job)) or new_record(lane, id, size_of(fields))
  -- The job may have another entry by now (it was lost and enqueued again): that one's record is not ours to touch.
  if not is_of(record, lane, id) then return 0 end
  if owner then
    record.crashes, record.history = record.crashes + 1, with_crash(record.history, owner)
    redis.call('HSET', KEYS[6], job, format(record))
  end
  return record.crashes
end

local function recover(lane, id, count, owner)
  local crashed, next_count = is_begun(count) or count >= LAST_FREE, at_rest(count)
  if not crashed then next_count = count < SUSPECT and count + 1 or count + 2 end
  local entry = redis.call('XCLAIM', KEYS[lane], GROUP, me, lease, id, 'RETRYCOUNT', next_count)[1]
  if not entry then
    vanished = vanished + 1
    return
  end
  local job = job_of(entry[2])
  local exhausted = job and crashes(job, lane, id, entry[2], crashed and owner) >= max_crashes
  if bytes < budget and (exhausted or (alone_left > 0 and not paused[lane])) then
    if not exhausted then alone_left = alone_left - 1 end
    bytes = bytes + weight(entry[2])
    taken[#taken + 1] = { lane = lane, id = id, count = next_count, exhausted = exhausted, fields = entry[2] }
  elseif exhausted then
    -- No room for it now: it stays with us without being held and is looked at again after a lease. Its record says that
    -- it is exhausted.
    return
  else
    redis.call('XCLAIM', KEYS[lane], GROUP, 'alone', 0, id, 'IDLE', RIPE_MS, 'JUSTID')
    rang = true
  end
end

-- A sign of life under our own name: Redis 7.0 notes none for reads that found nothing, so that a living consumer with
-- an idle lane would be forgotten there. A look at our own pending entries is noted; behind such an id there are none.
local function greet(lane)
  group_rows('XREADGROUP', 'GROUP', GROUP, me, 'COUNT', 1, 'STREAMS', KEYS[lane], '18446744073709551615-0')
end

local PSEUDO = { released = true, alone = true, delayed = true }
for lane = 1, 3 do
  for _, info in ipairs(group_rows('XINFO', 'CONSUMERS', KEYS[lane], GROUP)) do
    local about = {}
    for i = 1, #info, 2 do about[info[i]] = info[i + 1] end
    if PSEUDO[about.name] then
      -- Nobody's lease.
    elseif about.pending == 0 then
      if about.name == me then
        greet(lane)
      elseif about.idle > forget then
        redis.call('XGROUP', 'DELCONSUMER', KEYS[lane], GROUP, about.name)
      end
    elseif seen < max then
      local rows = group_rows('XPENDING', KEYS[lane], GROUP, 'IDLE', lease, '-', '+', max - seen, about.name)
      -- Again, since it may stand still in the midst of this as well: what was read before that had run out.
      if now_ms() > not_after then return { report(taken), vanished } end
      for _, row in ipairs(rows) do
        seen = seen + 1
        if not held[LETTER[lane] .. ':' .. row[1]] then recover(lane, row[1], tonumber(row[4]), about.name) end
      end
    end
  end
end
if rang then redis.call('PUBLISH', ARGV[2], 'alone') end
return { report(taken), vanished }
