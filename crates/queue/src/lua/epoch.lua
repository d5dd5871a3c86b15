-- epoch: a random mark that lives as long as the data does. FLUSHALL leaves Redis' run id as it is, but takes this.
--
-- KEYS: those of the prelude, then the epoch key. ARGV: 1 the mark to set where there is none.
-- Reply: the mark. Safe: read and write are one step, so that all processes see the same mark.
local mark = redis.call('GET', KEYS[10])
if mark then return mark end
redis.call('SET', KEYS[10], ARGV[1])
return ARGV[1]
