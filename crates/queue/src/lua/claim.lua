-- claim: due entries are made ripe, then entries are taken lane by lane.
--
-- KEYS: those of the prelude.
-- ARGV: 1 consumer, 2-4 quota of high, normal, low, 5 share (1: what a lane leaves of its quota goes to the others,
--   strictly by order; 0: it stays unused, because the caller asks other partitions first), 6 bytes (stop once this much
--   raw mail is taken; each lane has its share of them and may always take one, so that large mail of one lane cannot
--   keep the others from their turn), 7 alone (how many entries that must run alone may be taken), 8 promote (at most
--   this many due entries are made ripe).
-- Reply: the taken entries, see `report` in the prelude.
-- Safe: nothing here blocks; an entry whose reply is lost stays pending under this consumer's name, which adopts it.
--   Within a lane what was handed back or fell due goes first. A missing group is created from 0 in the same step, so
--   that nothing already in the stream is passed over. Of a paused lane nothing is taken, and its share goes to the
--   others; what falls due there is made ripe all the same, and waits.
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
      redis.call('XCLAIM', KEYS[lane], GROUP, waiting_owner(count), 0, id, 'IDLE', RIPE_MS, 'JUSTID')
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
    end
  end
  return got
end

local function read_new(lane, limit)
  for _ = 1, 2 do
    local reply = redis.pcall('XREADGROUP', 'GROUP', GROUP, me, 'COUNT', limit, 'STREAMS', KEYS[lane], '>')
    if is_no_group(reply) then
      redis.call('XGROUP', 'CREATE', KEYS[lane], GROUP, '0', 'MKSTREAM')
    elseif type(reply) == 'table' and reply.err then
      error(reply)
    else
      return reply and reply[1][2] or {}
    end
  end
  return {}
end

local FIRST_PIECE = 32
local function take_new(lane, limit)
  local got, before = 0, bytes
  while got < limit and not full() do
    -- In pieces, since the size of an entry is only known once it is read: a small one first, then as many as would fit if
    -- they were twice as large as those before.
    local piece = FIRST_PIECE
    if got > 0 then piece = math.max(piece, math.floor((bytes_end - bytes) * got / (2 * (bytes - before + 1)))) end
    piece = math.min(limit - got, piece)
    local entries = read_new(lane, piece)
    for _, entry in ipairs(entries) do
      if full() then
        redis.call('XCLAIM', KEYS[lane], GROUP, 'released', 0, entry[1], 'IDLE', RIPE_MS, 'JUSTID')
      else
        take(lane, entry[1], 1, entry[2])
        got = got + 1
      end
    end
    if #entries < piece then break end
  end
  return got
end

local function take_lane(lane, limit)
  local lonely = take_from('alone', lane, math.min(limit, alone_left))
  alone_left = alone_left - lonely
  local got = lonely
  got = got + take_from('released', lane, limit - got)
  return got + take_new(lane, limit - got)
end

promote(tonumber(ARGV[8]))
local paused = paused_lanes()
local spare, empty = 0, {}
local asked = tonumber(ARGV[2]) + tonumber(ARGV[3]) + tonumber(ARGV[4])
for lane = 1, 3 do
  local quota, got = tonumber(ARGV[1 + lane]), 0
  bytes_end = bytes + math.max(1, budget * quota / asked)
  if paused[lane] then
    empty[lane] = true
  elseif quota > 0 then
    got = take_lane(lane, quota)
    empty[lane] = got < quota and not full()
  end
  spare = spare + quota - got
end
bytes_end = budget
if ARGV[5] == '1' then
  for lane = 1, 3 do
    if spare > 0 and not empty[lane] and not full() then
      spare = spare - take_lane(lane, spare)
    end
  end
end
return report(taken)
