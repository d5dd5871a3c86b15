-- claim: due entries are made ripe, what waits is taken, and it is said how much of what is new may be read.
--
-- KEYS: those of the prelude.
-- ARGV: 1 consumer, 2-4 quota of high, normal, low, 5 share (1: what a lane leaves of its quota goes to the others,
--   strictly by order; 0: it stays unused, because the caller asks other partitions first), 6 bytes (stop once this much
--   raw mail is taken; each lane has its share of them and may always take one, so that large mail of one lane cannot
--   keep the others from their turn), 7 alone (how many entries that must run alone may be taken), 8 promote (at most
--   this many due entries are made ripe).
-- Reply: { the taken entries (see `report` in the prelude), for each lane how many new entries may be read, for each lane
--   the id up to which new entries may have a record that says more than where they are, or '' (see `make_group`), and how
--   many pending entries have vanished }.
-- Safe: nothing here blocks; an entry whose reply is lost stays pending under this consumer's name, which adopts it.
--   Within a lane what was handed back or fell due goes first: it is taken here, and the caller reads what is new after
--   that, by XREADGROUP, straight from the stream to its socket: mail that went through Lua would be copied four times more,
--   which costs more than all else. Between the two others may take or pause what is granted here: then less is read, or
--   what the pause has just missed. A missing group is created from 0 in the same step, so that nothing already in the
--   stream is passed over. Of a paused lane nothing is taken, and its share goes to the others; what falls due there is
--   made ripe all the same, and waits.
local me, budget, alone_left = ARGV[1], tonumber(ARGV[6]), tonumber(ARGV[7])
local taken, bytes, bytes_end = {}, 0, 0

local function full() return bytes >= bytes_end end

local function take(lane, id, count, fields)
  bytes = bytes + weight(fields)
  taken[#taken + 1] = { lane = lane, id = id, count = count, fields = fields }
end

local function promote(limit)
  local due = redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', now_ms(), 'LIMIT', 0, limit)
  for _, member in ipairs(due) do
    redis.call('ZREM', KEYS[4], member)
    local letter, id = string.match(member, '^(%a):(.+)$')
    local lane = INDEX[letter]
    local count = lane and pending(lane, id, 'delayed')
    -- Without that owner the group was lost and made anew: the entry then comes as a new one by itself.
    if count then
      local ripe = redis.call('XCLAIM', KEYS[lane], GROUP, waiting_owner(count), 0, id, 'IDLE', RIPE_MS, 'JUSTID')
      if #ripe == 0 then vanished = vanished + 1 end
    end
  end
end

local function take_from(owner, lane, limit)
  if limit <= 0 or full() then return 0 end
  local got = 0
  for _, row in ipairs(group_rows('XPENDING', KEYS[lane], GROUP, '-', '+', limit, owner)) do
    if full() then break end
    -- RETRYCOUNT keeps the delivery count: waiting here was no delivery. An entry deleted behind our back comes back
    -- empty and has left the pending list with that.
    local entry = redis.call('XCLAIM', KEYS[lane], GROUP, me, 0, row[1], 'RETRYCOUNT', row[4])[1]
    if entry then
      take(lane, entry[1], tonumber(row[4]), entry[2])
      got = got + 1
    else
      vanished = vanished + 1
    end
  end
  return got
end

local remade = redis.call('HMGET', KEYS[8], unpack(REMADE))

local function is_at_least(id, other)
  local ms, sequence = string.match(id, '^(%d+)-(%d+)$')
  local other_ms, other_sequence = string.match(other, '^(%d+)-(%d+)$')
  if ms ~= other_ms then return tonumber(ms) > tonumber(other_ms) end
  return tonumber(sequence) >= tonumber(other_sequence)
end

-- How many entries of a lane nobody has read. What somebody deleted by hand while it was pending stays pending, so that
-- fewer seem unread than are; what was passed over by hand (XACK, XGROUP SETID) is neither pending nor to be read, so that
-- more seem unread, and a lane that has nothing would use up the turns of the others. Where none seem to be, or the
-- server sees none, the stream itself is asked.
local MANY = 2 ^ 31
local function unread(lane)
  local length = redis.call('XLEN', KEYS[lane])
  local group = length > 0 and group_of(lane) or nil
  if remade[lane] and (length == 0 or (group and is_at_least(group['last-delivered-id'], remade[lane]))) then
    redis.call('HDEL', KEYS[8], REMADE[lane])
    remade[lane] = false
  end
  if length == 0 then return 0 end
  if not group then
    local _, last = make_group(lane)
    remade[lane] = last
    return length
  end
  local count = length - group.pending
  if count > 0 and group.lag ~= 0 then return count end
  local first = redis.call('XRANGE', KEYS[lane], '(' .. group['last-delivered-id'], '+', 'COUNT', 1)
  return #first > 0 and MANY or 0
end

local function take_waiting(lane, limit)
  local lonely = take_from('alone', lane, math.min(limit, alone_left))
  alone_left = alone_left - lonely
  return lonely + take_from('released', lane, limit - lonely)
end

-- Changes nothing, but a replica refuses it: so nobody waits for mail of a server that is no master any more.
redis.call('ZREM', KEYS[4], '')
promote(tonumber(ARGV[8]))
local paused = paused_lanes()
local spare, granted, left = 0, { 0, 0, 0 }, { 0, 0, 0 }
local asked = tonumber(ARGV[2]) + tonumber(ARGV[3]) + tonumber(ARGV[4])
for lane = 1, 3 do
  local quota, got = tonumber(ARGV[1 + lane]), 0
  bytes_end = bytes + math.max(1, budget * quota / asked)
  if not paused[lane] then
    if quota > 0 then got = take_waiting(lane, quota) end
    left[lane] = unread(lane)
    granted[lane] = math.min(quota - got, left[lane])
    if full() then granted[lane] = 0 end
  end
  spare = spare + quota - got - granted[lane]
end
if ARGV[5] == '1' then
  -- What is new in a lane that has its turn keeps its share of the bytes.
  bytes_end = budget - budget * (granted[1] + granted[2] + granted[3]) / asked
  for lane = 1, 3 do
    if spare > 0 and not paused[lane] then
      spare = spare - take_waiting(lane, spare)
      local more = math.min(spare, left[lane] - granted[lane])
      granted[lane] = granted[lane] + more
      spare = spare - more
    end
  end
end
return { report(taken), granted, { remade[1] or '', remade[2] or '', remade[3] or '' }, vanished }
