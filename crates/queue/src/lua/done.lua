-- done: the effect of these entries is committed; they leave their lane together with record and blob.
--
-- KEYS: those of the prelude, then the blob key of each entry that has one.
-- ARGV: see `remove`; nothing else of an entry.
-- Reply: for each entry 1 (gone) or 0 (not ours any more: nothing was touched).
-- Safe: only removes, and only what this consumer owns; a second run finds nothing of its own and does nothing.
return remove(ARGV[1], blobs_of(2))
