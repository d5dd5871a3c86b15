-- put_back: entries that were read beyond what their consumer has memory for; they are taken next, by whomever.
--
-- KEYS: those of the prelude.
-- ARGV: 1 consumer; then for each entry: lane (1-3), entry id.
-- Reply: the number of entries that were ours and are put back.
-- Safe: see `release`; nothing is counted and no record is touched, since nothing was begun.
local count = 0
for i = 2, #ARGV, 2 do
  if release(ARGV[1], tonumber(ARGV[i]), ARGV[i + 1], '', false) then count = count + 1 end
end
return count
