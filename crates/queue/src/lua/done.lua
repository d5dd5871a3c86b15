-- done: the effect of these entries is committed; they leave their lanes together with record and blob.
--
-- KEYS: those of the prelude, then the blob key of each entry that has one.
-- ARGV: 1 consumer; then for each entry: lane (1-3), entry id, job id, 1 where it has a blob, else 0.
-- Reply: for each entry 1 (gone) or 0 (not ours any more: nothing was touched).
-- Safe: only removes, and only what this consumer owns; a second run finds nothing of its own and does nothing.
local lanes, ids, jobs, blobs, seen = {}, {}, {}, {}, 0
for i = 2, #ARGV, 4 do
  local n = #ids + 1
  lanes[n], ids[n], jobs[n] = tonumber(ARGV[i]), ARGV[i + 1], ARGV[i + 2]
  if ARGV[i + 3] == '1' then
    seen = seen + 1
    blobs[n] = KEYS[9 + seen]
  end
end
return remove(ARGV[1], lanes, ids, jobs, blobs)
