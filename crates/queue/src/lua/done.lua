-- done: the effect of these entries is committed; they leave their lanes together with record and blob.
--
-- KEYS: those of the prelude, then the blob key of each entry that has one.
-- ARGV: 1 consumer; then for each entry: lane (1-3), entry id, job id, 1 where it has a blob, else 0.
-- Reply: for each entry 1 (gone) or 0 (not ours any more: nothing was touched).
-- Safe: only removes, and only what this consumer owns; a second run finds nothing of its own and does nothing.
local entries, blobs = {}, 0
for i = 2, #ARGV, 4 do
  local blob
  if ARGV[i + 3] == '1' then
    blobs = blobs + 1
    blob = KEYS[9 + blobs]
  end
  entries[#entries + 1] = { lane = tonumber(ARGV[i]), id = ARGV[i + 1], job = ARGV[i + 2], blob = blob }
end
local replies = {}
for i, gone in ipairs(remove(ARGV[1], entries)) do replies[i] = gone and 1 or 0 end
return replies
