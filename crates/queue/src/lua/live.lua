-- live: which of these jobs are in a lane, held or delayed. The sweep asks this about messages without an outcome.
--
-- KEYS: those of the prelude.
-- ARGV: job ids.
-- Reply: for each job 1 or 0; a dead job is not live.
-- Safe: a record whose entry is gone (deleted or evicted by somebody else) would keep its job out of the queue for ever:
--   it is removed here, so that the sweep can enqueue the job again.
local replies = {}
for i, job in ipairs(ARGV) do
  local record = parse(redis.call('HGET', KEYS[6], job))
  replies[i] = 0
  if record and record.state == 'Q' then
    if #redis.call('XRANGE', KEYS[INDEX[record.lane]], record.id, record.id) > 0 then
      replies[i] = 1
    else
      redis.call('HDEL', KEYS[6], job)
      count_entry(job, INDEX[record.lane], record.id, -1, record.size or 0)
    end
  end
end
write_counts()
return replies
