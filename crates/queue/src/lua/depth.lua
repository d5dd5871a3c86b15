-- depth: how much of everything there is, in one consistent look. Reads only.
--
-- KEYS: those of the prelude.
-- ARGV: none.
-- Reply: { dead, due retries over all lanes, closed (0/1), then for each lane { waiting, in flight, delayed, released,
--   age of the oldest waiting in ms, paused (0/1) } }; -1 stands for unknown, which is never shown as 0.
-- Since whatever is done is deleted, what is not pending in the stream is what nobody has read yet. XINFO's lag is not
--   used: it is nil after any deletion.

local function id_age(id, now)
  return math.max(0, now - tonumber(string.match(id, '^(%d+)')))
end

-- The age of the oldest entry that waits: with a pseudo consumer, or after the last one that was delivered.
local function oldest(lane, waiting, now)
  local age = 0
  for _, owner in ipairs({ 'released', 'alone' }) do
    local row = group_rows('XPENDING', KEYS[lane], GROUP, '-', '+', 1, owner)[1]
    if row then age = math.max(age, id_age(row[1], now)) end
  end
  if waiting <= 0 then return age end
  local last = '0-0'
  for _, info in ipairs(redis.call('XINFO', 'GROUPS', KEYS[lane])) do
    local about = {}
    for i = 1, #info, 2 do about[info[i]] = info[i + 1] end
    if about.name == GROUP then last = about['last-delivered-id'] end
  end
  local entry = redis.call('XRANGE', KEYS[lane], '(' .. last, '+', 'COUNT', 1)[1]
  return entry and math.max(age, id_age(entry[1], now)) or -1
end

-- How many of the due times are those of delayed entries. A due time outlives a group that was lost until a claim meets
-- it; only where there are more of them than delayed entries the first ones are looked at one by one.
local LOOK_AT = 200
local function believed(due, delayed, now)
  if redis.call('ZCARD', KEYS[4]) <= delayed then return due end
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', now, 'LIMIT', 0, LOOK_AT)) do
    local letter, id = string.match(member, '^(%a):(.+)$')
    if not INDEX[letter] or not pending(INDEX[letter], id, 'delayed') then due = due - 1 end
  end
  return math.min(due, delayed)
end

local now = now_ms()
local dead = redis.pcall('XLEN', KEYS[5])
-- What is delayed and due: claimable, although no claim has made it ripe yet.
local due = redis.pcall('ZCOUNT', KEYS[4], '-inf', now)
local words = redis.pcall('HMGET', KEYS[7], 'high', 'normal', 'low', 'all', 'closed')
local function is_set(word, other)
  if words.err then return -1 end
  return (words[word] or (other and words[other])) and 1 or 0
end
local replies = { type(dead) == 'number' and dead or -1, type(due) == 'number' and due or -1, is_set(5) }
local delayed = 0
for lane = 1, 3 do
  local length = redis.pcall('XLEN', KEYS[lane])
  if type(length) ~= 'number' then
    replies[#replies + 1] = { -1, -1, -1, -1, -1, is_set(lane, 4) }
    delayed = nil
  else
    local summary = group_rows('XPENDING', KEYS[lane], GROUP)
    local total, by = summary[1] or 0, { released = 0, alone = 0, delayed = 0 }
    for _, pair in ipairs(summary[4] or {}) do
      if by[pair[1]] then by[pair[1]] = tonumber(pair[2]) end
    end
    delayed = delayed and delayed + by.delayed
    local released = by.released + by.alone
    -- Fewer entries than pending ones: somebody deleted by hand, and what is left unread cannot be told.
    local waiting = length >= total and length - total or -1
    replies[#replies + 1] = { waiting, total - released - by.delayed, by.delayed, released,
      oldest(lane, waiting, now), is_set(lane, 4) }
  end
end
if delayed and replies[2] > 0 then replies[2] = believed(replies[2], delayed, now) end
return replies
