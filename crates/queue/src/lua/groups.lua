-- groups: the three lanes and their consumer group exist after this.
--
-- KEYS: those of the prelude. ARGV: none. Reply: the number of groups created.
-- Safe: see `make_group`; an existing group is left alone. The first write removes nothing and changes nothing, but makes
--   the script a writing one, so that it works at maxmemory: who starts then is to make room, not to wait for it.
redis.call('ZREM', KEYS[4], '')
local created = 0
for lane = 1, 3 do
  if make_group(lane) then created = created + 1 end
end
return created
