//! The state as Redis has it, from the raw keys: nothing of the queue's own code is asked.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use futures::future::join_all;
use mailfleet_model::{Counters, JobId, Lane};
use mailfleet_testkit::RedisServer;
use redis::FromRedisValue;
use redis::aio::MultiplexedConnection;

use super::jobs::{UIDS, account, has_blob, id};
use super::look::{Fields, LOOK, Looked, Pending};
use super::state::{Entry, Live, Place, State};
use crate::fixture::{Fixture, keys};

pub struct Raw {
    /// The prefix of all keys of the one partition in which all jobs are.
    prefix: String,
    /// To the server that has them.
    connection: MultiplexedConnection,
    /// To the other masters of a cluster.
    others: Vec<MultiplexedConnection>,
    /// The job number of each job id.
    jobs: HashMap<String, u32>,
}

impl Raw {
    pub async fn new(fixture: &Fixture) -> Self {
        let connection = fixture.redis.connection().await;
        let others = join_all(fixture.others.iter().map(RedisServer::connection)).await;
        let prefix = keys(fixture.queue.config());
        Self {
            prefix,
            connection,
            others,
            jobs: UIDS.map(|uid| (id(uid).as_str().to_owned(), uid)).collect(),
        }
    }

    /// Runs one command, its words separated by spaces; `K:` stands for the keys' prefix.
    pub async fn run<T: FromRedisValue>(&self, line: &str) -> Result<T, String> {
        let line = line.replace("K:", &self.prefix);
        let mut words = line.split(' ');
        let mut command = redis::cmd(words.next().unwrap_or_default());
        words.for_each(|word| {
            command.arg(word);
        });
        command.query_async(&mut self.connection.clone()).await.map_err(|error| format!("{line}: {error}"))
    }

    /// Runs a command that has no key on every server.
    pub async fn everywhere(&self, line: &str) -> Result<(), String> {
        let mut words = line.split(' ');
        let mut command = redis::cmd(words.next().unwrap_or_default());
        words.for_each(|word| {
            command.arg(word);
        });
        for mut server in self.others.iter().chain([&self.connection]).cloned() {
            let () = command.query_async(&mut server).await.map_err(|error| format!("{line}: {error}"))?;
        }
        Ok(())
    }

    /// As [`Self::run`]; nothing where the stream or its group does not exist.
    pub async fn rows<T: FromRedisValue + Default>(&self, line: &str) -> Result<T, String> {
        const NOT_THERE: [&str; 3] = ["NOGROUP", "no such key", "requires the key to exist"];
        match self.run(line).await {
            Err(error) if NOT_THERE.iter().any(|what| error.contains(what)) => Ok(T::default()),
            answer => answer,
        }
    }

    /// Reads everything at one moment, and checks what must always hold: every job is in exactly one place, and each of the
    /// keys says the same about it.
    pub async fn state(&self) -> Result<State, String> {
        let mut look = redis::cmd("EVAL");
        look.arg(LOOK).arg(1).arg(&self.prefix);
        let looked = look.query_async(&mut self.connection.clone()).await;
        let looked: Looked = looked.map_err(|error| format!("a look at everything: {error}"))?;
        let (time, due, mut records, (high, normal, low), lines, blobs, counts) = looked;
        let mut state = State { due: read_due(&due, time.0 * 1_000 + time.1 / 1_000)?, ..State::default() };
        let mut bytes = BTreeMap::new();
        for (lane, (entries, pending, groups)) in Lane::ALL.into_iter().zip([high, normal, low]) {
            let raw = RawLane { lane, entries, pending, groups };
            let field = format!("#bytes|{}", &lane.as_str()[..1]);
            bytes.insert(field, raw.read(self, &mut records, &mut state)?);
        }
        bytes.retain(|_, bytes| *bytes > 0);
        for (entry_id, fields) in lines {
            let uid = self.uid(&fields)?;
            let text = |name| fields.get(name).map(|value| String::from_utf8_lossy(value).into_owned());
            let letter = text("l").unwrap_or_default();
            let lane = lane_of(&letter).ok_or_else(|| format!("a dead letter of lane {letter:?}"))?;
            let record = records.remove(id(uid).as_str()).unwrap_or_default();
            if record != format!("X|{letter}|{entry_id}") {
                return Err(format!("dead job {uid} at {entry_id} has the record {record:?}"));
            }
            if state.dead.insert(uid, (lane, text("why").unwrap_or_default())).is_some() {
                return Err(format!("job {uid} is dead twice"));
            }
        }
        if !records.is_empty() {
            return Err(format!("records without an entry: {records:?}"));
        }
        check_blobs(&self.prefix, &blobs, &state)?;
        check_counts(counts, &state, bytes)?;
        Ok(state)
    }

    /// The time by the clock of Redis, in ms.
    pub async fn now_ms(&self) -> Result<u64, String> {
        let (seconds, micros): (u64, u64) = self.run("TIME").await?;
        Ok(seconds * 1_000 + micros / 1_000)
    }

    fn uid(&self, fields: &Fields) -> Result<u32, String> {
        let job = fields.get("j").map(|job| String::from_utf8_lossy(job).into_owned()).unwrap_or_default();
        let known = JobId::parse(&job).ok().and_then(|job| self.jobs.get(job.as_str()).copied());
        known.ok_or_else(|| format!("an entry of an unknown job {job:?}"))
    }
}

/// The delayed set, and what of it is due at this moment.
fn read_due(lines: &[(String, u64)], now_ms: u64) -> Result<BTreeMap<Entry, bool>, String> {
    let line = |(member, score): &(String, u64)| {
        let (letter, entry_id) = member.split_once(':')?;
        Some((Entry::parse(lane_of(letter)?, entry_id)?, *score <= now_ms))
    };
    let read: Option<BTreeMap<_, _>> = lines.iter().map(line).collect();
    read.ok_or_else(|| format!("odd lines in the delayed set: {lines:?}"))
}

/// Raw mail is there for exactly the live jobs that have theirs outside.
fn check_blobs(prefix: &str, keys: &BTreeSet<String>, state: &State) -> Result<(), String> {
    let with_blob = state.live.keys().filter(|uid| has_blob(**uid));
    let wanted: BTreeSet<String> = with_blob.map(|uid| format!("{prefix}blob:{}", id(*uid))).collect();
    if *keys == wanted { Ok(()) } else { Err(format!("blobs {keys:?}, but live jobs have {wanted:?}")) }
}

/// The numbers behind the cap of an account are those of its entries, and the bytes of each lane are theirs.
fn check_counts(
    told: BTreeMap<String, String>,
    state: &State,
    bytes: BTreeMap<String, u64>,
) -> Result<(), String> {
    // Which lanes refuse, the depth is asked.
    let told: BTreeMap<String, u64> =
        told.into_iter().filter_map(|(field, number)| Some((field, number.parse().ok()?))).collect();
    let mut counted = bytes;
    for (uid, live) in state.live.iter().filter(|(_, live)| live.entry.lane != Lane::High) {
        let letter = &live.entry.lane.as_str()[..1];
        *counted.entry(format!("{:032x}|{letter}", account(*uid))).or_default() += 1;
    }
    // Set by a recount: its end, and bytes where there are none.
    let kept = told.iter().filter(|(field, number)| *field != "#ended" && **number > 0);
    if kept.clone().eq(&counted) {
        Ok(())
    } else {
        Err(format!("entries by account and bytes by lane: told {told:?}, are {counted:?}"))
    }
}

/// One lane as it was read.
struct RawLane {
    lane: Lane,
    entries: Vec<(String, Fields)>,
    pending: Vec<Pending>,
    groups: Vec<HashMap<String, redis::Value>>,
}

impl RawLane {
    /// Takes the lane in; returns the bytes that its entries store.
    fn read(
        self,
        raw: &Raw,
        records: &mut HashMap<String, String>,
        state: &mut State,
    ) -> Result<u64, String> {
        let (lane, mut bytes) = (self.lane, 0);
        let read_up_to = self.groups.first().and_then(|group| group.get("last-delivered-id")).cloned();
        let read_up_to = read_up_to.and_then(|id| redis::from_redis_value::<String>(id).ok());
        let read_up_to = read_up_to.and_then(|id| Entry::parse(lane, &id));
        let mut pending: BTreeMap<Entry, (String, u32)> = BTreeMap::new();
        for (entry_id, owner, _, count) in self.pending {
            let entry = Entry::parse(lane, &entry_id).ok_or_else(|| format!("entry id {entry_id}"))?;
            pending.insert(entry, (owner, count));
        }
        for (entry_id, fields) in self.entries {
            let entry = Entry::parse(lane, &entry_id).ok_or_else(|| format!("entry id {entry_id}"))?;
            let uid = raw.uid(&fields)?;
            let record = records.remove(id(uid).as_str());
            let record = record.ok_or_else(|| format!("job {uid} at {lane} {entry_id} has no record"))?;
            let (counters, history, size) = read_record(&record, entry)
                .map_err(|odd| format!("job {uid} at {lane} {entry_id} has the record {record:?}: {odd}"))?;
            if size_of(&fields) != Some(size) {
                return Err(format!(
                    "job {uid} at {lane} {entry_id} has the record {record:?}, of another size"
                ));
            }
            bytes += size;
            let (place, count) = match pending.remove(&entry) {
                None if read_up_to.is_some_and(|read| entry <= read) => {
                    return Err(format!(
                        "job {uid} at {lane} {entry_id} is stuck: read, and pending with nobody"
                    ));
                }
                None => (Place::New, 0),
                Some((owner, count)) => (place_with(&owner, count)?, count),
            };
            if place == Place::Delayed && !state.due.contains_key(&entry) {
                return Err(format!("job {uid} at {lane} {entry_id} is stuck: delayed without a due time"));
            }
            let live = Live { entry, place, count, counters, history, once: fields.contains_key("once") };
            if state.live.insert(uid, live).is_some() {
                return Err(format!("job {uid} is in two entries"));
            }
        }
        if pending.is_empty() { Ok(bytes) } else { Err(format!("pending without an entry: {pending:?}")) }
    }
}

fn lane_of(letter: &str) -> Option<Lane> {
    Lane::ALL.into_iter().find(|lane| lane.as_str().get(..1) == Some(letter))
}

/// The place behind an owner's name. What runs alone waits apart from the rest.
fn place_with(owner: &str, count: u32) -> Result<Place, String> {
    match (owner, count) {
        ("delayed", _) => Ok(Place::Delayed),
        ("released", 1) | ("alone", 2..) => Ok(Place::Ready),
        ("released" | "alone", _) => Err(format!("delivered {count} times and waits with `{owner}`")),
        _ => Ok(Place::Held(owner.to_owned())),
    }
}

/// Counters, length of the history and size of the entry by the record of a live job, which must speak of this entry.
fn read_record(record: &str, entry: Entry) -> Result<(Counters, usize, u64), &'static str> {
    let mut parts = record.splitn(8, '|');
    let mut part = || parts.next().unwrap_or_default();
    if (part(), lane_of(part()), part()) != ("Q", Some(entry.lane), entry.id().as_str()) {
        return Err("of another entry");
    }
    let size = part().parse::<u64>().map_err(|_| "a size that is no number")?;
    let mut number = || match part() {
        "" => Ok(0),
        text => text.parse().map_err(|_| "a counter that is no number"),
    };
    let counters = Counters { attempts: number()?, crashes: number()?, drains: number()? };
    let history = match part() {
        "" => 0,
        json => serde_json::from_str::<Vec<serde_json::Value>>(json).map_err(|_| "an odd history")?.len(),
    };
    Ok((counters, history, size))
}

/// What an entry stores, by its fields.
fn size_of(fields: &Fields) -> Option<u64> {
    let length = |name| fields.get(name).map(|value| value.len() as u64);
    let beside = || std::str::from_utf8(fields.get("s")?).ok()?.parse().ok();
    Some(length("j")? + length("e")? + length("r").or_else(beside)?)
}
