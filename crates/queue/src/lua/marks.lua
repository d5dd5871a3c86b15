-- Shared by `enqueue` and `depth`: which lanes refuse what is new. A lane that has come to its high mark refuses until it
-- is below its low one, so that nobody fetches mail for a lane that takes one entry and refuses the rest. That is noted
-- where the entries are, so all producers agree.
--
-- KEYS[8] "#full|<lane letter>" holds `e` where the lane has too many entries, `m` where Redis has too little memory left
-- for it, `em` for both; no field where it takes what comes.
local FULL = { '#full|h', '#full|n', '#full|l' }

local marks, memory_marks, memory_used = {}, {}, -1

local function is_beyond(value, mark, already)
  return mark.high > 0 and value >= (already and mark.low or mark.high)
end

-- Reads them from ARGV: for each lane its high and its low mark in entries, then for each those of Redis' memory in per
-- cent (a high mark of 0: none), and then how many per cent of its memory Redis uses now; -1: not known.
local function read_marks(at)
  for lane = 1, 3 do
    local i = at + 2 * (lane - 1)
    marks[lane] = { high = tonumber(ARGV[i]), low = tonumber(ARGV[i + 1]) }
    memory_marks[lane] = { high = tonumber(ARGV[i + 6]), low = tonumber(ARGV[i + 7]) }
  end
  memory_used = tonumber(ARGV[at + 12])
end

-- Why a lane of so many entries refuses, after what was noted of it; '' where it does not.
local function refusal(lane, length, noted)
  noted = noted or ''
  local by_entries = is_beyond(length, marks[lane], string.find(noted, 'e', 1, true))
  local by_memory = string.find(noted, 'm', 1, true)
  if memory_used >= 0 then by_memory = is_beyond(memory_used, memory_marks[lane], by_memory) end
  return (by_entries and 'e' or '') .. (by_memory and 'm' or '')
end
