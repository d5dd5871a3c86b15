-- rebuild_dead: the index of dead letters is made again from PostgreSQL, after a FLUSHALL for instance.
--
-- KEYS: those of the prelude.
-- ARGV: for each job: job id, lane (1-3), reason.
-- Reply: the number of lines added.
-- Safe: a job that Redis knows anything about is left as it is, so that it can run while jobs move and be run again.
local added = 0
for i = 1, #ARGV, 3 do
  local job, letter = ARGV[i], LETTER[tonumber(ARGV[i + 1])]
  if redis.call('HEXISTS', KEYS[6], job) == 0 then
    local id = redis.call('XADD', KEYS[5], '*', 'j', job, 'l', letter, 'why', ARGV[i + 2])
    redis.call('HSET', KEYS[6], job, 'X|' .. letter .. '|' .. id)
    added = added + 1
  end
end
return added
