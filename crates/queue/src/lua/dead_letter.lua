-- dead_letter: these entries are in PostgreSQL's dead letters; they leave their lanes and get a line in the index.
--
-- KEYS: those of the prelude, then the blob key of each entry.
-- ARGV: 1 consumer; then for each entry: lane (1-3), entry id, job id, reason.
-- Reply: for each entry 1 (moved) or 0 (not ours any more: nothing was touched).
-- Safe: the caller wrote the PostgreSQL row before, so what is removed here is not lost if Redis dies in between; the
--   removing writes come first, so that it works at maxmemory.
local entries = {}
for i = 2, #ARGV, 4 do
  local n = #entries + 1
  entries[n] = { lane = tonumber(ARGV[i]), id = ARGV[i + 1], job = ARGV[i + 2], reason = ARGV[i + 3],
    blob = KEYS[9 + n] }
end
local replies = {}
for i, gone in ipairs(remove(ARGV[1], entries)) do
  replies[i] = gone and 1 or 0
  local entry = entries[i]
  if gone and redis.call('HEXISTS', KEYS[6], entry.job) == 0 then
    local id = redis.call('XADD', KEYS[5], '*', 'j', entry.job, 'l', LETTER[entry.lane], 'why', entry.reason)
    redis.call('HSET', KEYS[6], entry.job, 'X|' .. LETTER[entry.lane] .. '|' .. id)
  end
end
return replies
