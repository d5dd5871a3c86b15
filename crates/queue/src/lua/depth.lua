-- depth: how much of everything there is, in one consistent look. Reads only.
--
-- KEYS: those of the prelude.
-- ARGV: 1-13 the marks (see `marks`).
-- Reply: { dead, age of the oldest dead letter, due retries over all lanes, closed (0/1), then for each lane { waiting, in
--   flight, delayed, released, then the age of the oldest of each of these four, bytes, paused (0/1), refuses (0; 1 for
--   too many entries, 2 for too little memory, 3 for both), dead } }. Ages are in ms since the entry came into its lane (a dead
--   letter: since it died), 0 where there is none. -1 stands for unknown, which is never shown as 0.
-- Since whatever is done is deleted, what is not pending in the stream is what nobody has read yet. XINFO's lag is not
--   used: it is nil after any deletion.

-- Consumers whose oldest entry is looked for; with more of them it is not known. A fleet has one for each process.
local CONSUMERS_MAX = 500
local PSEUDO = { released = 'released', alone = 'released', delayed = 'delayed' }

local now = now_ms()

local function age_of(row)
  return row and math.max(0, now - tonumber(string.match(row[1], '^(%d+)'))) or 0
end

-- What is pending: entries and age of the oldest by state.
local function pending_states(lane)
  local states, consumers = {}, 0
  for _, state in ipairs({ 'in_flight', 'released', 'delayed' }) do states[state] = { entries = 0, age = 0 } end
  local summary = group_rows('XPENDING', KEYS[lane], GROUP)
  for _, pair in ipairs(summary[4] or {}) do
    local name = pair[1]
    local state = states[PSEUDO[name] or 'in_flight']
    state.entries = state.entries + tonumber(pair[2])
    if not PSEUDO[name] then consumers = consumers + 1 end
    if PSEUDO[name] or consumers <= CONSUMERS_MAX then
      state.age = math.max(state.age, age_of(group_rows('XPENDING', KEYS[lane], GROUP, '-', '+', 1, name)[1]))
    end
  end
  if consumers > CONSUMERS_MAX then states.in_flight.age = -1 end
  return states, summary[1] or 0
end

-- Entries that nobody has read, and the age of the oldest. What somebody deleted by hand while it was pending stays
-- pending, so that fewer seem to be left unread than are. Where that shows, the number is not known: with fewer entries
-- than pending ones, or where there is a first unread entry and none left by number, or the other way round. The last is
-- so where entries were passed over by hand (XGROUP SETID, XACK): they wait, and for how long is not known either.
local function waiting_in(lane, length, pending_total)
  local first = redis.call('XRANGE', KEYS[lane], '(' .. last_read(lane), '+', 'COUNT', 1)[1]
  local waiting = length - pending_total
  if waiting < 0 or (waiting > 0) ~= (first ~= nil) then waiting = -1 end
  return waiting, (first or waiting >= 0) and age_of(first) or -1
end

-- How many of the due times are those of delayed entries. A due time outlives a group that was lost until a claim meets
-- it; only where there are more of them than delayed entries the first ones are looked at one by one.
local LOOK_AT = 200
local function believed(due, delayed)
  if redis.call('ZCARD', KEYS[4]) <= delayed then return due end
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', now, 'LIMIT', 0, LOOK_AT)) do
    local letter, id = string.match(member, '^(%a):(.+)$')
    if not INDEX[letter] or not pending(INDEX[letter], id, 'delayed') then due = due - 1 end
  end
  return math.min(due, delayed)
end

-- Lines of the index by the lane that the job had. They are looked at one by one, which is bounded, instead of being
-- counted where they move: that would be a number more to be kept right, for a question of people. A line that is not of
-- a job of ours has no lane.
local DEAD_MAX = 1000
local function dead_by_lane(lines)
  if type(lines) ~= 'number' or lines > DEAD_MAX then return { -1, -1, -1 } end
  local by_lane = { 0, 0, 0 }
  for _, line in ipairs(lines > 0 and redis.call('XRANGE', KEYS[5], '-', '+', 'COUNT', DEAD_MAX) or {}) do
    for i = 1, #line[2], 2 do
      local lane = line[2][i] == 'l' and INDEX[line[2][i + 1]]
      if lane then by_lane[lane] = by_lane[lane] + 1 end
    end
  end
  return by_lane
end

local dead = redis.pcall('XLEN', KEYS[5])
local first_dead = redis.pcall('XRANGE', KEYS[5], '-', '+', 'COUNT', 1)
-- What is delayed and due: claimable, although no claim has made it ripe yet.
local due = redis.pcall('ZCOUNT', KEYS[4], '-inf', now)
local words = redis.pcall('HMGET', KEYS[7], 'high', 'normal', 'low', 'all', 'closed')
local function is_set(word, other)
  if words.err then return -1 end
  return (words[word] or (other and words[other])) and 1 or 0
end

read_marks(1)
local noted = redis.pcall('HMGET', KEYS[8], FULL[1], FULL[2], FULL[3], BYTES[1], BYTES[2], BYTES[3])
local function refuses(lane, length)
  if noted.err then return -1 end
  local why = noted[lane] and refusal(lane, length, noted[lane]) or ''
  return (string.find(why, 'e', 1, true) and 1 or 0) + (string.find(why, 'm', 1, true) and 2 or 0)
end
local function bytes(lane, length)
  if length == 0 then return 0 end
  return not noted.err and tonumber(noted[3 + lane] or nil) or -1
end

local replies = { type(dead) == 'number' and dead or -1, first_dead.err and -1 or age_of(first_dead[1]),
  type(due) == 'number' and due or -1, is_set(5) }
local delayed, dead_of = 0, dead_by_lane(dead)
for lane = 1, 3 do
  local length = redis.pcall('XLEN', KEYS[lane])
  if type(length) ~= 'number' then
    replies[#replies + 1] = { -1, -1, -1, -1, -1, -1, -1, -1, -1, is_set(lane, 4), -1, dead_of[lane] }
    delayed = nil
  else
    local states, total = pending_states(lane)
    local waiting, waiting_age = waiting_in(lane, length, total)
    delayed = delayed and delayed + states.delayed.entries
    replies[#replies + 1] = { waiting, states.in_flight.entries, states.delayed.entries, states.released.entries,
      waiting_age, states.in_flight.age, states.delayed.age, states.released.age,
      bytes(lane, length), is_set(lane, 4), refuses(lane, length), dead_of[lane] }
  end
end
if delayed and replies[3] > 0 then replies[3] = believed(replies[3], delayed) end
return replies
