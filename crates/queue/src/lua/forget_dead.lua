-- forget_dead: dead letters that were discarded (or resolved) in PostgreSQL leave the index.
--
-- KEYS: those of the prelude.
-- ARGV: for each job: job id, and the entry id of its line where no other may go, else ''.
-- Reply: the number of lines removed.
-- Safe: only dead jobs are touched; one that lives again is left alone, and with an entry id also one that has died again
--   since. Only removes, so it works at maxmemory.
local removed = 0
for i = 1, #ARGV, 2 do
  local job, line = ARGV[i], ARGV[i + 1]
  local record = parse(redis.call('HGET', KEYS[6], job))
  if record and record.state == 'X' and (line == '' or record.id == line) then
    redis.call('XDEL', KEYS[5], record.id)
    redis.call('HDEL', KEYS[6], job)
    removed = removed + 1
  end
end
return removed
