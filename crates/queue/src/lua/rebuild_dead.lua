-- rebuild_dead: the index of dead letters is made again from PostgreSQL, after a FLUSHALL for instance.
--
-- KEYS: those of the prelude.
-- ARGV: for each job: job id, lane (1-3), reason.
-- Reply: the number of lines added.
-- Safe: a job that Redis knows anything about is left as it is, so that it can run while jobs move and be run again. A record
--   that speaks of a line which is not there (the stream was deleted, or a line of it) is not that: the line is made again.
local added = 0
for i = 1, #ARGV, 3 do
  local job, letter = ARGV[i], LETTER[tonumber(ARGV[i + 1])]
  local record = parse(redis.call('HGET', KEYS[6], job))
  local lacks = not record or (record.state == 'X' and #redis.call('XRANGE', KEYS[5], record.id, record.id) == 0)
  if lacks then
    local id = redis.call('XADD', KEYS[5], '*', 'j', job, 'l', letter, 'why', ARGV[i + 2])
    redis.call('HSET', KEYS[6], job, 'X|' .. letter .. '|' .. id)
    added = added + 1
  end
end
return added
