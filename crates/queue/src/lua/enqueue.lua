-- enqueue: new jobs enter their lanes, unless they are there already.
--
-- KEYS: those of the prelude, then the blob key of each job.
-- ARGV: 1 doorbell channel, 2-4 most entries in high, normal, low, 5 most entries of one account in normal, and in low,
--   6 1 for a replay, whose entries say so in a field `once`, else 0; then for each job: lane (1-3), job id, envelope, raw bytes as stored, raw size ('' for raw bytes that travel inside
--   the entry, else their size before compression: then they are kept beside it).
-- Reply: for each job 1 (queued), or where nothing was done 2 (live already), 3 (the lane is full), 4 (the account has as
--   many entries in the lane as it may), 5 (the queue is closed).
-- Safe: check and write are one step, so that the same job enqueued twice, by whomever, runs once. A dead job is not
--   live: it enters its lane again and leaves the dead index in the same step, which is what a replay is. The first
--   write is XADD, which Redis refuses at maxmemory before anything is changed: enqueues stop, the rest goes on.
local length, replies, rang, entries_of = {}, {}, false, {}
local closed, account_most, once = redis.call('HEXISTS', KEYS[7], 'closed') == 1, tonumber(ARGV[5]), ARGV[6] == '1'
for lane = 1, 3 do length[lane] = redis.call('XLEN', KEYS[lane]) end

local function account_is_full(job, lane)
  local field = account_field(job, lane)
  if not field then return false end
  entries_of[field] = entries_of[field] or tonumber(redis.call('HGET', KEYS[8], field) or 0)
  return entries_of[field] + (moved[field] or 0) >= account_most
end

for i = 7, #ARGV, 5 do
  local lane, job, envelope, raw, size = tonumber(ARGV[i]), ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4]
  local n = #replies + 1
  local record = parse(redis.call('HGET', KEYS[6], job))
  if record and record.state == 'Q' then
    replies[n] = 2
  elseif closed then
    replies[n] = 5
  elseif length[lane] >= tonumber(ARGV[1 + lane]) then
    replies[n] = 3
  elseif account_is_full(job, lane) then
    replies[n] = 4
  else
    local id, kind, value = nil, 'r', raw
    if size ~= '' then kind, value = 'b', size end
    if once then
      id = redis.call('XADD', KEYS[lane], '*', 'j', job, 'e', envelope, kind, value, 'once', '1')
    else
      id = redis.call('XADD', KEYS[lane], '*', 'j', job, 'e', envelope, kind, value)
    end
    if size ~= '' then redis.call('SET', KEYS[9 + n], raw) end
    redis.call('HSET', KEYS[6], job, 'Q|' .. LETTER[lane] .. '|' .. id)
    count_entry(job, lane, id, 1)
    if record and record.state == 'X' then redis.call('XDEL', KEYS[5], record.id) end
    length[lane] = length[lane] + 1
    replies[n], rang = 1, true
  end
end
write_counts()
if rang then redis.call('PUBLISH', ARGV[1], 'new') end
return replies
