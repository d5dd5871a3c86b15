-- Shared by `depth` and `live`: up to where a lane was read. What stands behind that is new.

-- The last id that the group has read; '0-0' where there is no group, since it is made anew from there.
local function last_read(lane)
  local group = group_of(lane)
  return group and group['last-delivered-id'] or '0-0'
end
