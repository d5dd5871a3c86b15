-- enqueue: new jobs enter their lanes, unless they are there already.
--
-- KEYS: those of the prelude, then the blob key of each job that has one.
-- ARGV: 1 doorbell channel, 2 most entries of one account in normal, and in low, 3 1 for a replay, whose entries say so in
--   a field `once`, else 0, 4-16 the marks (see `marks`); then for each job: lane (1-3), followed by ":" and
--   the size before compression where the raw bytes are kept beside the entry instead of inside; job id, envelope, raw bytes
--   as stored.
-- Reply: for each job 1 (queued), or where nothing was done 2 (live already), 3 (the lane refuses), 4 (the account has as
--   many entries in the lane as it may), 5 (the queue is closed).
-- Safe: check and write are one step, so that the same job enqueued twice, by whomever, runs once. A dead job is not
--   live: it enters its lane again and leaves the dead index in the same step, which is what a replay is. The first
--   write is XADD, which Redis refuses at maxmemory before anything is changed: enqueues stop, the rest goes on. So what
--   is counted and noted is written last.
local replies, rang, entries_of, blobs = {}, false, { {}, {}, {} }, 0
local closed, account_most, once = redis.call('HEXISTS', KEYS[7], 'closed') == 1, tonumber(ARGV[2]), ARGV[3] == '1'
read_marks(4)
local noted = redis.call('HMGET', KEYS[8], FULL[1], FULL[2], FULL[3], BYTES[1], BYTES[2], BYTES[3])
local length, refuses, unknown, wrong = {}, {}, {}, {}
for lane = 1, 3 do
  length[lane] = redis.call('XLEN', KEYS[lane])
  refuses[lane] = refusal(lane, length[lane], noted[lane])
  -- A number that is lost stays lost until the recount: what is new alone would be too little.
  unknown[lane] = length[lane] > 0 and not noted[3 + lane]
  wrong[lane] = length[lane] == 0 and noted[3 + lane]
end

-- What is known of all jobs before the first of them enters: in one command each, whatever their number.
local jobs, lanes, wholes, accounts, fields, counted = {}, {}, {}, {}, {}, {}
for i = 17, #ARGV, 4 do
  local n, job, lane = #jobs + 1, ARGV[i + 1], tonumber(ARGV[i])
  if not lane then
    lane, wholes[n] = string.match(ARGV[i], '^(%d):(%d+)$')
    lane = tonumber(lane)
  end
  local account = lane > 1 and account_of(job)
  jobs[n], lanes[n], accounts[n] = job, lane, account
  if account and not entries_of[lane][account] then
    entries_of[lane][account] = 0
    fields[#fields + 1] = account .. '|' .. LETTER[lane]
    counted[#fields] = n
  end
end
local records, live = records_of(jobs), {}
for i, count in ipairs(#fields > 0 and redis.call('HMGET', KEYS[8], unpack(fields)) or {}) do
  local n = counted[i]
  entries_of[lanes[n]][accounts[n]] = tonumber(count) or 0
end

-- The new entry of a job; the first write of all. `blob` is the key beside it, where it has one.
local function add_entry(blob, lane, job, envelope, raw, whole)
  if blob then
    local id
    if once then
      id = redis.call('XADD', KEYS[lane], '*', 'j', job, 'e', envelope, 'b', whole, 's', #raw, 'once', '1')
    else
      id = redis.call('XADD', KEYS[lane], '*', 'j', job, 'e', envelope, 'b', whole, 's', #raw)
    end
    redis.call('SET', blob, raw)
    return id
  elseif once then
    return redis.call('XADD', KEYS[lane], '*', 'j', job, 'e', envelope, 'r', raw, 'once', '1')
  end
  return redis.call('XADD', KEYS[lane], '*', 'j', job, 'e', envelope, 'r', raw)
end

local written = {}
for n, job in ipairs(jobs) do
  local at = 13 + 4 * n
  local lane, account, envelope, raw, whole = lanes[n], accounts[n], ARGV[at + 2], ARGV[at + 3], wholes[n]
  local record, blob = records[n], nil
  if whole then
    blobs = blobs + 1
    blob = KEYS[9 + blobs]
  end
  -- A job that comes twice in one batch is live when it comes again.
  if live[job] or (record and string.byte(record) == 81) then
    replies[n] = 2
  elseif closed then
    replies[n] = 5
  elseif refuses[lane] ~= '' then
    replies[n] = 3
  elseif account and entries_of[lane][account] + (moved[lane][account] or 0) >= account_most then
    replies[n] = 4
  else
    local size = #job + #envelope + #raw
    local id = add_entry(blob, lane, job, envelope, raw, whole)
    live[job] = true
    local m = #written
    written[m + 1], written[m + 2] = job, 'Q|' .. LETTER[lane] .. '|' .. id .. '|' .. size
    count_entry(job, account, lane, id, 1, size)
    local dead = record and parse(record)
    if dead and dead.state == 'X' then redis.call('XDEL', KEYS[5], dead.id) end
    length[lane] = length[lane] + 1
    if is_beyond(length[lane], marks[lane], false) then refuses[lane] = 'e' end
    replies[n], rang = 1, true
  end
end
if #written > 0 then redis.call('HSET', KEYS[6], unpack(written)) end
for lane = 1, 3 do
  if unknown[lane] then moved_bytes[lane] = 0 end
  -- An empty lane has no bytes, whatever was counted before: somebody deleted its entries by hand.
  if wrong[lane] and moved_bytes[lane] > 0 then redis.call('HDEL', KEYS[8], BYTES[lane]) end
  if refuses[lane] ~= (noted[lane] or '') then
    if refuses[lane] == '' then
      redis.call('HDEL', KEYS[8], FULL[lane])
    else
      redis.call('HSET', KEYS[8], FULL[lane], refuses[lane])
    end
  end
end
write_counts()
if rang then redis.call('PUBLISH', ARGV[1], 'new') end
return replies
