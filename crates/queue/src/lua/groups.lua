-- groups: the three lanes and their consumer group exist after this.
--
-- KEYS: those of the prelude. ARGV: none. Reply: the number of groups created.
-- Safe: from 0, never from `$`, which would pass over what is already in the stream; an existing group is left alone.
local created = 0
for lane = 1, 3 do
  local reply = redis.pcall('XGROUP', 'CREATE', KEYS[lane], GROUP, '0', 'MKSTREAM')
  if type(reply) == 'table' and reply.err then
    if not string.find(reply.err, 'BUSYGROUP', 1, true) then error(reply) end
  else
    created = created + 1
  end
end
return created
