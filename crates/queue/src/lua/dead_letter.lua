-- dead_letter: these entries are in PostgreSQL's dead letters; they leave their lanes and get a line in the index.
--
-- KEYS: those of the prelude, then the blob key of each entry.
-- ARGV: 1 consumer; then for each entry: lane (1-3), entry id, job id, reason.
-- Reply: for each entry 1 (moved) or 0 (not ours any more: nothing was touched).
-- Safe: the caller wrote the PostgreSQL row before, so what is removed here is not lost if Redis dies in between; the
--   removing writes come first, so that it works at maxmemory.
local lanes, ids, jobs, blobs, reasons = {}, {}, {}, {}, {}
for i = 2, #ARGV, 4 do
  local n = #ids + 1
  lanes[n], ids[n], jobs[n], reasons[n], blobs[n] = tonumber(ARGV[i]), ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], KEYS[9 + n]
end
local replies = remove(ARGV[1], lanes, ids, jobs, blobs)
for i, reply in ipairs(replies) do
  if reply == 1 and redis.call('HEXISTS', KEYS[6], jobs[i]) == 0 then
    local letter = LETTER[lanes[i]]
    local id = redis.call('XADD', KEYS[5], '*', 'j', jobs[i], 'l', letter, 'why', reasons[i])
    redis.call('HSET', KEYS[6], jobs[i], 'X|' .. letter .. '|' .. id)
  end
end
return replies
