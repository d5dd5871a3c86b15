-- recount: what is counted of the entries is counted anew from the lanes, a piece at a time, beside all other moves.
--
-- KEYS: those of the prelude.
-- ARGV: 1 most entries to look at now, 2 least time in ms between the end of a recount and the next.
-- Reply: 1 where there is nothing more to do now, else 0.
-- Safe: the new numbers grow in a hash of their own, with the place that was reached in it ("<lane number>|<entry id>").
--   Whatever comes or goes at or before that place meanwhile is counted there by the script that moves it, so at the end
--   the new numbers are exact and take the old ones' place. Any process goes on where another one stopped. What is noted
--   of lanes that refuse, and of groups that were made anew, goes over with them.
local most, now = tonumber(ARGV[1]), now_ms()
local lane, from = string.match(redis.call('HGET', KEYS[9], '#at') or '', '^(%d)|(.+)$')
lane = tonumber(lane)
if not lane then
  local ended = tonumber(redis.call('HGET', KEYS[8], '#ended') or 0)
  if now >= ended and now < ended + tonumber(ARGV[2]) then return 1 end
  redis.call('DEL', KEYS[9])
  lane, from = 1, '0-0'
end
local entries, found = redis.call('XRANGE', KEYS[lane], '(' .. from, '+', 'COUNT', most), {}
for _, entry in ipairs(entries) do
  add(found, account_field(job_of(entry[2]), lane), 1)
  add(found, BYTES[lane], size_of(entry[2]))
  from = entry[1]
end
add_counts(KEYS[9], found)
if #entries == most then
  redis.call('HSET', KEYS[9], '#at', lane .. '|' .. from)
elseif lane < 3 then
  redis.call('HSET', KEYS[9], '#at', (lane + 1) .. '|0-0')
else
  redis.call('HDEL', KEYS[9], '#at')
  redis.call('HSET', KEYS[9], '#ended', now)
  local notes = redis.call('HMGET', KEYS[8], FULL[1], FULL[2], FULL[3], REMADE[1], REMADE[2], REMADE[3])
  for i = 1, 3 do
    if notes[i] then redis.call('HSET', KEYS[9], FULL[i], notes[i]) end
    if notes[3 + i] then redis.call('HSET', KEYS[9], REMADE[i], notes[3 + i]) end
    -- Entries that store nothing of ours leave no field, which would say that their number is lost.
    redis.call('HSETNX', KEYS[9], BYTES[i], 0)
  end
  redis.call('RENAME', KEYS[9], KEYS[8])
  return 1
end
return 0
