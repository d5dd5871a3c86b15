-- quarantine: entries without a readable job id (written by hand, or by another program) leave their lane.
--
-- KEYS: those of the prelude.
-- ARGV: 1 consumer; then for each entry: lane (1-3), entry id.
-- Reply: the number of entries removed.
-- Safe: acts on owned entries only, which the caller has written to PostgreSQL before. No account's number has them, and
--   they have no line in the index, which says of jobs that they are dead. Only removes, so it works at maxmemory.
local gone = 0
for i = 2, #ARGV, 2 do
  local lane, id = tonumber(ARGV[i]), ARGV[i + 1]
  if pending(lane, id, ARGV[1]) then
    redis.call('XACK', KEYS[lane], GROUP, id)
    redis.call('XDEL', KEYS[lane], id)
    gone = gone + 1
  end
end
return gone
