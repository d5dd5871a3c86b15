-- recount: the entries of each account are counted anew from the lanes, a piece at a time, beside all other moves.
--
-- KEYS: those of the prelude.
-- ARGV: 1 most entries to look at now, 2 least time in ms between the end of a recount and the next.
-- Reply: 1 where there is nothing more to do now, else 0.
-- Safe: the new numbers grow in a hash of their own, with the place that was reached in it ("<lane number>|<entry id>").
--   Whatever comes or goes at or before that place meanwhile is counted there by the script that moves it, so at the end
--   the new numbers are exact and take the old ones' place. Any process goes on where another one stopped.
local most, now = tonumber(ARGV[1]), now_ms()
local lane, from = string.match(redis.call('HGET', KEYS[9], '#at') or '', '^(%d)|(.+)$')
lane = tonumber(lane)
if not lane then
  local ended = tonumber(redis.call('HGET', KEYS[8], '#ended') or 0)
  if now >= ended and now < ended + tonumber(ARGV[2]) then return 1 end
  redis.call('DEL', KEYS[9])
  lane, from = 2, '0-0'
end
local entries, found = redis.call('XRANGE', KEYS[lane], '(' .. from, '+', 'COUNT', most), {}
for _, entry in ipairs(entries) do
  local field = account_field(job_of(entry[2]), lane)
  if field then found[field] = (found[field] or 0) + 1 end
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
  redis.call('RENAME', KEYS[9], KEYS[8])
  return 1
end
return 0
