//! Reading what is new: the second half of a claim. The script has said how many entries of each lane may be read; they come
//! by XREADGROUP, straight from the stream, since whatever goes through Lua is copied several times more.

use std::sync::atomic::Ordering;

use mailfleet_model::Lane;
use redis::Value;

use crate::consumer::Consumer;
use crate::error::{Error, Result};
use crate::keys::{GROUP, Keys, lane_number};
use crate::queue::script;
use crate::reply::{self, Row};
use crate::room::Bytes;
use crate::scripts::SCRIPTS;

const DOING: &str = "read new entries";
/// One claim reads in no more pieces than this; what they leave is the next one's.
const PIECES: usize = 8;

/// What the claiming script grants of each lane.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    /// So many new entries may be read.
    entries: [u32; 3],
    /// New entries up to this id may have been through something; empty: none.
    remade: [String; 3],
}

impl Grant {
    /// Reads the answer of `lua/claim.lua`: what was taken, what is granted besides, and how many entries have vanished.
    pub(crate) fn of(answer: Value) -> Result<(Vec<Row>, Self, usize)> {
        const DOING: &str = "claim";
        let odd = |found: &str| Error::Answer { doing: DOING, found: found.to_owned() };
        let parts: [Value; 4] = reply::array(DOING, answer)?.try_into().map_err(|_| odd("not four parts"))?;
        let [rows, entries, remade, vanished] = parts;
        let number = |value: &Value| Ok(u32::try_from(reply::number(DOING, value)?).unwrap_or(0));
        let entries: Vec<u32> = reply::array(DOING, entries)?.iter().map(number).collect::<Result<_>>()?;
        let text = |value| reply::text(DOING, value);
        let remade: Vec<String> =
            reply::array(DOING, remade)?.into_iter().map(text).collect::<Result<_>>()?;
        let entries = entries.try_into().map_err(|_| odd("not three lanes"))?;
        let remade = remade.try_into().map_err(|_| odd("not three lanes"))?;
        Ok((reply::rows(DOING, rows)?, Self { entries, remade }, reply::count(DOING, &vanished)?))
    }

    pub(crate) fn is_nothing(&self) -> bool {
        self.entries == [0; 3]
    }

    /// Whether a new entry may have been through something, so that its record has to be read.
    fn is_remade(&self, row: &Row) -> bool {
        let remade = self.remade.get(row.lane.index());
        remade.and_then(|last| entry_id(last)).is_some_and(|last| entry_id(&row.entry_id) <= Some(last))
    }
}

/// The two numbers of an entry id, which is how ids compare.
fn entry_id(id: &str) -> Option<(u64, u64)> {
    let (ms, sequence) = id.split_once('-')?;
    Some((ms.parse().ok()?, sequence.parse().ok()?))
}

/// A claim on its way through the lanes.
struct Reading {
    /// Granted and not read; nothing once a lane has given less than it was asked for.
    left: [u32; 3],
    /// Taken.
    rows: Vec<Row>,
    /// Read, but beyond the bytes, of its lane or of all.
    over: Vec<Row>,
}

impl Reading {
    /// How many entries of a lane to ask for: as many as fit, at least one.
    fn fit(&self, lane: Lane, bytes: u64, expected: u64) -> u32 {
        let fit = u32::try_from(bytes / expected).unwrap_or(u32::MAX).max(1);
        fit.min(self.left.get(lane.index()).copied().unwrap_or(0))
    }

    fn take(&mut self, row: Row, bytes: &mut Bytes) {
        bytes.take(&row);
        self.rows.push(row);
    }

    /// Takes what is over, as far as there is room.
    fn use_what_is_left(&mut self, bytes: &mut Bytes) {
        for row in std::mem::take(&mut self.over) {
            if bytes.left() > 0 { self.take(row, bytes) } else { self.over.push(row) }
        }
    }
}

impl Consumer {
    /// Reads what was granted, within the bytes: of each lane's share first, then of what the others left, strictly by order.
    /// How large an entry is, is only known once it is read: so they come in pieces, and what has come beyond the bytes is
    /// put back.
    pub(crate) async fn read_new(
        &self,
        partition: u16,
        grant: &Grant,
        bytes: &mut Bytes,
    ) -> Result<Vec<Row>> {
        let keys = self.0.queue.keys(partition);
        let mut reading = Reading { left: grant.entries, rows: Vec::new(), over: Vec::new() };
        for _ in 0..PIECES {
            let mut counts = Lane::ALL.map(|lane| {
                bytes.left_of_share(lane).map_or(0, |left| reading.fit(lane, left, self.expected(lane)))
            });
            let beyond_shares = counts == [0; 3];
            if beyond_shares {
                reading.use_what_is_left(bytes);
                if bytes.left() > 0 {
                    counts = self.next_lane(&reading, bytes.left());
                }
            }
            if counts == [0; 3] {
                break;
            }
            for row in self.read_piece(keys, counts, &mut reading.left).await? {
                if bytes.left_of_share(row.lane).is_some() || (beyond_shares && bytes.left() > 0) {
                    reading.take(row, bytes);
                } else {
                    reading.over.push(row);
                }
            }
        }
        reading.use_what_is_left(bytes);
        self.put_back(keys, &reading.over).await?;
        self.read_records(keys, grant, &mut reading.rows).await?;
        Ok(reading.rows)
    }

    /// The first lane that has something left alone.
    fn next_lane(&self, reading: &Reading, bytes: u64) -> [u32; 3] {
        let mut counts = Lane::ALL.map(|lane| reading.fit(lane, bytes, self.expected(lane)));
        let mut is_first = true;
        for count in &mut counts {
            if *count > 0 && !std::mem::take(&mut is_first) {
                *count = 0;
            }
        }
        counts
    }

    async fn read_piece(&self, keys: &Keys, counts: [u32; 3], left: &mut [u32; 3]) -> Result<Vec<Row>> {
        let mut pipeline = redis::pipe();
        let asked: Vec<(Lane, u32)> =
            Lane::ALL.into_iter().zip(counts).filter(|(_, count)| *count > 0).collect();
        for (lane, count) in &asked {
            pipeline.cmd("XREADGROUP").arg("GROUP").arg(GROUP).arg(self.0.name.as_str());
            pipeline.arg("COUNT").arg(count).arg("STREAMS").arg(keys.lane(*lane)).arg(">");
        }
        let answers: Vec<Value> = self.0.queue.link().pipeline(DOING, keys.slot, &pipeline).await?;
        let mut rows = Vec::new();
        for ((lane, count), answer) in asked.into_iter().zip(answers) {
            let before = rows.len();
            reply::new_rows(DOING, lane, answer, &mut rows)?;
            let read = rows.get(before..).unwrap_or_default();
            self.learn(lane, read);
            if let Some(left) = left.get_mut(lane.index()) {
                let is_all = read.len() < usize::try_from(count).unwrap_or(usize::MAX);
                *left = if is_all { 0 } else { left.saturating_sub(count) };
            }
        }
        Ok(rows)
    }

    /// What an entry of a lane is expected to weigh: twice as much as those before. No less than what may travel inside an
    /// entry, since such a one stands in memory even if it is put back.
    fn expected(&self, lane: Lane) -> u64 {
        let mean = self.0.weights.get(lane.index()).map_or(0, |weight| weight.load(Ordering::Relaxed));
        mean.saturating_mul(2).max(self.0.queue.config().inline_bytes as u64).max(1)
    }

    fn learn(&self, lane: Lane, read: &[Row]) {
        let sum: u64 = read.iter().fold(0, |sum, row| sum.saturating_add(row.weight()));
        if let Some(mean) = sum.checked_div(read.len() as u64)
            && let Some(weight) = self.0.weights.get(lane.index())
        {
            weight.store(mean, Ordering::Relaxed);
        }
    }

    async fn put_back(&self, keys: &Keys, over: &[Row]) -> Result<()> {
        if over.is_empty() {
            return Ok(());
        }
        let mut script = script(&SCRIPTS.put_back, keys);
        script.arg(self.0.name.as_str());
        for row in over {
            script.arg(lane_number(row.lane)).arg(&row.entry_id);
        }
        let _: i64 = self.0.queue.link().run("put entries back", &script).await?;
        Ok(())
    }

    /// The records of new entries that may have been through something. Any other has been through nothing.
    async fn read_records(&self, keys: &Keys, grant: &Grant, rows: &mut [Row]) -> Result<()> {
        let mut remade: Vec<&mut Row> = rows.iter_mut().filter(|row| grant.is_remade(row)).collect();
        if remade.is_empty() {
            return Ok(());
        }
        let mut command = redis::cmd("HMGET");
        command.arg(keys.live());
        for row in &remade {
            command.arg(row.get(b"j").unwrap_or_default());
        }
        let records: Vec<Option<Vec<u8>>> =
            self.0.queue.link().command("read the records of new entries", &command).await?;
        for (row, record) in remade.iter_mut().zip(records) {
            row.record = record.and_then(|record| String::from_utf8(record).ok()).unwrap_or_default();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_compare_by_their_numbers() {
        assert!(entry_id("9-10") > entry_id("9-9"));
        assert!(entry_id("10-0") > entry_id("9-9"));
        assert_eq!(entry_id(""), None);
    }
}
