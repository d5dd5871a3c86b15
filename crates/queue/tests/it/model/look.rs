//! The one look at all keys of the queue, as they are.

use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A row of the extended XPENDING: entry id, owner, idle time in ms, delivery count.
pub type Pending = (String, String, u64, u32);
pub type Fields = HashMap<String, Vec<u8>>;
/// Entries, pending entries and groups of one lane.
type LookedLane = (Vec<(String, Fields)>, Vec<Pending>, Vec<HashMap<String, redis::Value>>);
/// What [`LOOK`] gives: the time, the delayed set, the records, the lanes, the dead stream, the keys of blobs, the numbers.
pub type Looked = (
    (u64, u64),
    Vec<(String, u64)>,
    HashMap<String, String>,
    (LookedLane, LookedLane, LookedLane),
    Vec<(String, Fields)>,
    BTreeSet<String>,
    BTreeMap<String, String>,
);

/// All keys in one step: with a look at one after the other, a script that is still on its way to Redis when its caller has
/// given up could come in between. Streams and groups that do not exist have nothing.
pub const LOOK: &str = r"
local prefix = KEYS[1]
local function rows(...)
  local reply = redis.pcall(...)
  if type(reply) ~= 'table' or not reply.err then return reply end
  for _, absent in ipairs({ 'NOGROUP', 'no such key', 'requires the key to exist' }) do
    if string.find(reply.err, absent, 1, true) then return {} end
  end
  error(reply)
end
local lanes = {}
for i, lane in ipairs({ 'high', 'normal', 'low' }) do
  local key = prefix .. lane
  lanes[i] = { rows('XRANGE', key, '-', '+'), rows('XPENDING', key, 'consumers', '-', '+', 1000), rows('XINFO', 'GROUPS', key) }
end
return { redis.call('TIME'), redis.call('ZRANGE', prefix .. 'delayed', 0, -1, 'WITHSCORES'),
  redis.call('HGETALL', prefix .. 'live'), lanes, redis.call('XRANGE', prefix .. 'dead', '-', '+'),
  redis.call('KEYS', '*:blob:*'), redis.call('HGETALL', prefix .. 'accounts') }
";
