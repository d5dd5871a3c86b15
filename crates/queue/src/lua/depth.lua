-- depth: how much of everything there is, in one consistent look. Reads only.
--
-- KEYS: the seven of the prelude.
-- ARGV: none.
-- Reply: { dead, due retries over all lanes, then for each lane { waiting, in flight, delayed, released, age of the oldest waiting in ms } };
--   -1 stands for unknown, which is never shown as 0.
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

local now = now_ms()
local dead = redis.pcall('XLEN', KEYS[5])
-- What is delayed and due: claimable, although no claim has made it ripe yet.
local due = redis.pcall('ZCOUNT', KEYS[4], '-inf', now)
local replies = { type(dead) == 'number' and dead or -1, type(due) == 'number' and due or -1 }
for lane = 1, 3 do
  local length = redis.pcall('XLEN', KEYS[lane])
  if type(length) ~= 'number' then
    replies[#replies + 1] = { -1, -1, -1, -1, -1 }
  else
    local summary = group_rows('XPENDING', KEYS[lane], GROUP)
    local total, by = summary[1] or 0, { released = 0, alone = 0, delayed = 0 }
    for _, pair in ipairs(summary[4] or {}) do
      if by[pair[1]] then by[pair[1]] = tonumber(pair[2]) end
    end
    local released = by.released + by.alone
    -- Fewer entries than pending ones: somebody deleted by hand, and what is left unread cannot be told.
    local waiting = length >= total and length - total or -1
    replies[#replies + 1] =
      { waiting, total - released - by.delayed, by.delayed, released, oldest(lane, waiting, now) }
  end
end
return replies
