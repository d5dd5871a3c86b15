-- delay: these entries wait for a due time, then go before what is new in their lane (retry, and uncounted delays).
--
-- KEYS: those of the prelude.
-- ARGV: 1 consumer; then for each entry: lane (1-3), entry id, job id, delay in ms, and the new tail of its record
--   ("<attempts>|<crashes>|<drains>|<history>"), or '' to leave the record as it is.
-- Reply: for each entry 1 (delayed) or 0 (not ours any more: nothing was touched).
-- Safe: the entry never leaves its stream nor the pending list, it only changes owner, so there is no moment at which
--   it is nowhere. The due time is the server's clock plus the delay, so that workers' clocks do not matter. XCLAIM is
--   allowed at maxmemory and comes first; the delivery count, which says "runs alone", stays. No counter
--   goes back: an entry that ran elsewhere meanwhile and came back by a claim without an answer was counted there.
local me, now, replies = ARGV[1], now_ms(), {}
for i = 2, #ARGV, 5 do
  local lane, id, job, tail = tonumber(ARGV[i]), ARGV[i + 1], ARGV[i + 2], ARGV[i + 4]
  local count, size, record = owned(lane, id, me, job)
  if count then
    redis.call('XCLAIM', KEYS[lane], GROUP, 'delayed', 0, id, 'RETRYCOUNT', at_rest(count), 'JUSTID')
    redis.call('ZADD', KEYS[4], now + tonumber(ARGV[i + 3]), LETTER[lane] .. ':' .. id)
    if record and tail ~= '' then
      local told = parse('Q|' .. LETTER[lane] .. '|' .. id .. '|' .. size .. '|' .. tail)
      for _, counter in ipairs({ 'attempts', 'crashes', 'drains' }) do
        told[counter] = math.max(told[counter], record[counter])
      end
      redis.call('HSET', KEYS[6], job, format(told))
    end
  end
  replies[#replies + 1] = count and 1 or 0
end
return replies
