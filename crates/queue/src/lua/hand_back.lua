-- hand_back: a stopping worker gives entries back; they run next elsewhere, and no attempt or crash is counted.
--
-- KEYS: those of the prelude.
-- ARGV: 1 consumer, 2 doorbell channel; then for each entry: lane (1-3), entry id, job id.
-- Reply: for each entry 1 (given back) or 0 (not ours any more: nothing was touched).
-- Safe: see `release`; XCLAIM is allowed at maxmemory and comes before the record is written.
local replies, rang = {}, false
for i = 3, #ARGV, 3 do
  local ours = release(ARGV[1], tonumber(ARGV[i]), ARGV[i + 1], ARGV[i + 2], true)
  replies[#replies + 1] = ours and 1 or 0
  rang = rang or ours
end
if rang then redis.call('PUBLISH', ARGV[2], 'released') end
return replies
