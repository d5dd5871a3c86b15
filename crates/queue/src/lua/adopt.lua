-- adopt: what is pending under this consumer's own name without its knowledge (the reply of a claim was lost in an
-- outage, or its future was dropped) comes back to it, free of charge.
--
-- KEYS: those of the prelude.
-- ARGV: 1 consumer, 2 max, 3 bytes (stop once this much raw mail is taken; 0: take nothing), 4 alone (how many that must
--   run alone may be taken), 5 number of entries to pass over (those it holds, and those it let go on purpose, which are
--   the reclaim's); then those as "<lane letter>:<id>".
-- Reply: { 1 where there may be more, taken entries (see `report`), how many pending entries have vanished }.
-- Safe: the name is unique to one process incarnation, so nobody else can hold these. The delivery count is kept. It is
--   in hand already, so a pause of its lane does not hold it back.
local me, max, budget, alone_left = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local skip_count = tonumber(ARGV[5])
local skip, taken, bytes, more = {}, {}, 0, 0
for i = 6, 5 + skip_count do skip[ARGV[i]] = true end
for lane = 1, 3 do
  local rows = group_rows('XPENDING', KEYS[lane], GROUP, '-', '+', skip_count + max + 1, me)
  for _, row in ipairs(rows) do
    local id, count = row[1], tonumber(row[4])
    if not skip[LETTER[lane] .. ':' .. id] then
      if #taken >= max or bytes >= budget then
        more = 1
        break
      elseif count >= 2 and alone_left <= 0 then
        redis.call('XCLAIM', KEYS[lane], GROUP, 'alone', 0, id, 'IDLE', RIPE_MS, 'RETRYCOUNT', at_rest(count), 'JUSTID')
      else
        local entry = redis.call('XCLAIM', KEYS[lane], GROUP, me, 0, id, 'RETRYCOUNT', at_rest(count))[1]
        if entry then
          if count >= 2 then alone_left = alone_left - 1 end
          bytes = bytes + weight(entry[2])
          taken[#taken + 1] = { lane = lane, id = id, count = count, fields = entry[2] }
        else
          vanished = vanished + 1
        end
      end
    end
  end
end
return { more, report(taken), vanished }
