-- quarantine: entries without a readable job id (written by hand, or by another program) cannot become a dead letter
-- in PostgreSQL, which is keyed by job. They go to the dead stream as they are, so that nothing is thrown away.
--
-- KEYS: those of the prelude.
-- ARGV: 1 consumer; then for each entry: lane (1-3), entry id.
-- Reply: the number of entries moved.
-- Safe: acts on owned entries only; the entry is read, removed and written again in one step. No account's number has it.
--   Lua cannot hand over any number of words, so an entry of very many fields becomes several lines, one after the other.
local WORDS = 2000
local gone = 0
for i = 2, #ARGV, 2 do
  local lane, id = tonumber(ARGV[i]), ARGV[i + 1]
  if pending(lane, id, ARGV[1]) then
    local entry = redis.call('XRANGE', KEYS[lane], id, id)[1]
    redis.call('XACK', KEYS[lane], GROUP, id)
    redis.call('XDEL', KEYS[lane], id)
    local words = entry and entry[2] or {}
    for from = 1, #words, WORDS do
      redis.call('XADD', KEYS[5], '*', unpack(words, from, math.min(#words, from + WORDS - 1)))
    end
    gone = gone + 1
  end
end
return gone
