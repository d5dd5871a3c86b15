//! Reading the depth: the script, and what its answer says.

use redis::Value;

use crate::depth::{Depth, LaneDepth, Oldest, Refuses};
use crate::error::{Error, Result};
use crate::queue::{Queue, script};
use crate::reply;
use crate::scripts::SCRIPTS;

const DOING: &str = "read the depth of the queue";

impl Queue {
    /// Reads the depth. One consistent look at each partition.
    pub async fn depth(&self) -> Result<Depth> {
        let marks = self.marks().await;
        let mut depth: Option<Depth> = None;
        for keys in self.partitions() {
            let mut script = script(&SCRIPTS.depth, keys);
            marks.write(&mut script);
            let part = read(self.link().run(DOING, &script).await?)?;
            depth = Some(depth.map_or(part, |sum| sum.merge(&part)));
        }
        Ok(depth.unwrap_or_default())
    }
}

fn read(answer: Value) -> Result<Depth> {
    let odd = || Error::Answer { doing: DOING, found: "the wrong number of parts".to_owned() };
    let [dead, oldest_dead_ms, due, closed, lanes @ ..]: [Value; 7] =
        reply::array(DOING, answer)?.try_into().map_err(|_| odd())?;
    let mut depth = Depth {
        dead: known(&dead)?,
        oldest_dead_ms: known(&oldest_dead_ms)?,
        due: known(&due)?,
        closed: flag(&closed)?,
        ..Depth::default()
    };
    for (lane, answer) in depth.lanes.iter_mut().zip(lanes) {
        let parts: [Value; 12] = reply::array(DOING, answer)?.try_into().map_err(|_| odd())?;
        let [entries @ .., bytes, paused, refuses, dead] = &parts;
        let [waiting, in_flight, delayed, released, ages @ ..] = entries;
        let [waiting_ms, in_flight_ms, delayed_ms, released_ms] = ages;
        *lane = LaneDepth {
            waiting: known(waiting)?,
            in_flight: known(in_flight)?,
            delayed: known(delayed)?,
            released: known(released)?,
            oldest: Oldest {
                waiting: known(waiting_ms)?,
                in_flight: known(in_flight_ms)?,
                delayed: known(delayed_ms)?,
                released: known(released_ms)?,
            },
            bytes: known(bytes)?,
            paused: flag(paused)?,
            refuses: known(refuses)?.map(|why| Refuses { by_entries: why & 1 == 1, by_memory: why & 2 == 2 }),
            dead: known(dead)?,
        };
    }
    Ok(depth)
}

/// The script writes -1 for unknown.
fn known(value: &Value) -> Result<Option<u64>> {
    Ok(u64::try_from(reply::number(DOING, value)?).ok())
}

fn flag(value: &Value) -> Result<Option<bool>> {
    Ok(known(value)?.map(|flag| flag == 1))
}
