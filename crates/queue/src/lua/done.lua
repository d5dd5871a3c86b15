-- done: the effect of these entries is committed; they leave their lanes together with record and blob.
--
-- KEYS: those of the prelude, then the blob key of each entry that has one.
-- ARGV: 1 consumer; then for each entry: lane (1-3; "b" after it where there is a blob), entry id, job id.
-- Reply: for each entry 1 (gone) or 0 (not ours any more: nothing was touched).
-- Safe: only removes, and only what this consumer owns; a second run finds nothing of its own and does nothing.
local lanes, ids, jobs, blobs = entries_in_arguments(3)
return remove(ARGV[1], lanes, ids, jobs, blobs)
