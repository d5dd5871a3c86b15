-- enqueue: new jobs enter their lanes, unless they are there already.
--
-- KEYS: the seven of the prelude, then the blob key of each job.
-- ARGV: 1 doorbell channel, 2-4 most entries in high, normal, low; then for each job: lane (1-3), job id, envelope,
--   raw bytes as stored, raw size ('' for raw bytes that travel inside the entry, else their size before compression:
--   then they are kept beside it).
-- Reply: for each job 1 (queued), 2 (live already: nothing was done), 3 (the lane is full: nothing was done).
-- Safe: check and write are one step, so that the same job enqueued twice, by whomever, runs once. A dead job is not
--   live: it enters its lane again and leaves the dead index in the same step, which is what a replay is. The first
--   write is XADD, which Redis refuses at maxmemory before anything is changed: enqueues stop, the rest goes on.
local length, replies, rang = {}, {}, false
for lane = 1, 3 do length[lane] = redis.call('XLEN', KEYS[lane]) end
for i = 5, #ARGV, 5 do
  local lane, job, envelope, raw, size = tonumber(ARGV[i]), ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4]
  local n = #replies + 1
  local record = parse(redis.call('HGET', KEYS[6], job))
  if record and record.state == 'Q' then
    replies[n] = 2
  elseif length[lane] >= tonumber(ARGV[1 + lane]) then
    replies[n] = 3
  else
    local id
    if size == '' then
      id = redis.call('XADD', KEYS[lane], '*', 'j', job, 'e', envelope, 'r', raw)
    else
      id = redis.call('XADD', KEYS[lane], '*', 'j', job, 'e', envelope, 'b', size)
      redis.call('SET', KEYS[7 + n], raw)
    end
    redis.call('HSET', KEYS[6], job, 'Q|' .. LETTER[lane] .. '|' .. id)
    if record and record.state == 'X' then redis.call('XDEL', KEYS[5], record.id) end
    length[lane] = length[lane] + 1
    replies[n], rang = 1, true
  end
end
if rang then redis.call('PUBLISH', ARGV[1], 'new') end
return replies
