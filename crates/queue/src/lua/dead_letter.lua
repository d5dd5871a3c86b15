-- dead_letter: these entries are in PostgreSQL's dead letters; they leave their lane and get a line in the index.
--
-- KEYS: those of the prelude, then the blob key of each entry that has one.
-- ARGV: see `remove`; a third column with the reason of each.
-- Reply: for each entry 1 (moved) or 0 (not ours any more: nothing was touched).
-- Safe: the caller wrote the PostgreSQL row before, so what is removed here is not lost if Redis dies in between; the
--   removing writes come first, so that it works at maxmemory.
local replies, letter = remove(ARGV[1], blobs_of(3)), LETTER[tonumber(ARGV[2])]
for i, reply in ipairs(replies) do
  local job = ARGV[column(1) - 1 + i]
  if reply == 1 and redis.call('HEXISTS', KEYS[6], job) == 0 then
    local id = redis.call('XADD', KEYS[5], '*', 'j', job, 'l', letter, 'why', ARGV[column(2) - 1 + i])
    redis.call('HSET', KEYS[6], job, 'X|' .. letter .. '|' .. id)
  end
end
return replies
