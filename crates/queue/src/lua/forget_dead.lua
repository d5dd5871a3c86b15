-- forget_dead: dead letters that were discarded (or resolved) in PostgreSQL leave the index.
--
-- KEYS: those of the prelude.
-- ARGV: job ids.
-- Reply: the number of lines removed.
-- Safe: only dead jobs are touched; one that lives again is left alone. Only removes, so it works at maxmemory.
local removed = 0
for _, job in ipairs(ARGV) do
  local record = parse(redis.call('HGET', KEYS[6], job))
  if record and record.state == 'X' then
    redis.call('XDEL', KEYS[5], record.id)
    redis.call('HDEL', KEYS[6], job)
    removed = removed + 1
  end
end
return removed
