-- dead_letter: these entries are in PostgreSQL's dead letters; they leave their lanes and get a line in the index.
--
-- KEYS: those of the prelude, then the blob key of each entry that has one.
-- ARGV: 1 consumer; then for each entry: lane (1-3; "b" after it where there is a blob), entry id, job id,
--   reason.
-- Reply: for each entry 1 (moved) or 0 (not ours any more: nothing was touched).
-- Safe: the caller wrote the PostgreSQL row before, so what is removed here is not lost if Redis dies in between; the
--   removing writes come first, so that it works at maxmemory.
local lanes, ids, jobs, blobs = entries_in_arguments(4)
local replies = remove(ARGV[1], lanes, ids, jobs, blobs)
for i, reply in ipairs(replies) do
  if reply == 1 and redis.call('HEXISTS', KEYS[6], jobs[i]) == 0 then
    local letter = LETTER[lanes[i]]
    local id = redis.call('XADD', KEYS[5], '*', 'j', jobs[i], 'l', letter, 'why', ARGV[1 + 4 * i])
    redis.call('HSET', KEYS[6], jobs[i], 'X|' .. letter .. '|' .. id)
  end
end
return replies
