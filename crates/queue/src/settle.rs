//! The ends of a delivery: done, retry, crashed, dead letter, hand back, delay. Each consumes it, and acts only where it is still
//! this consumer's.

use std::sync::atomic::Ordering;
use std::time::Duration;

use mailfleet_model::{Clock, Counters, Lane, SystemClock};
use redis::{Script, ScriptInvocation};

use crate::columns::{self, Leaving};
use crate::consumer::{Consumer, count};
use crate::delivery::Delivery;
use crate::error::{Error, Result};
use crate::held::Holding;
use crate::keys::lane_number;
use crate::queue::script;
use crate::record::{self, Failure};
use crate::scripts::SCRIPTS;

/// One script settles no more entries than this.
const CHUNK: usize = 200;

/// One way to settle: the script, and what is said when it cannot be run.
struct Move {
    doing: &'static str,
    script: &'static Script,
    /// The script rings the doorbell, whose channel it gets after the consumer's name.
    rings: bool,
    /// The script takes the entries of one lane out of it, and is told of them in columns.
    removes: bool,
}

/// What became of a delivery that was settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Settled {
    /// It is where it was sent.
    Done,
    /// It was not this consumer's any more and nothing was touched: somebody else runs it, or it is gone. Also the
    /// answer when an earlier try had got through although its answer was lost.
    LostLease,
}

/// An error together with the deliveries that it left unsettled: still held, still kept alive, to be settled again.
pub type Returned = (Error, Vec<Delivery>);

impl Consumer {
    /// The effects are committed: entries, records and raw mail leave Redis.
    pub async fn done(&self, batch: Vec<Delivery>) -> Result<Vec<Settled>, Returned> {
        let done = Move { doing: "finish entries", script: &SCRIPTS.done, rings: false, removes: true };
        self.settle(done, batch, |_, _| {}).await
    }

    /// An error that may pass: the entry comes back after `after`, before what is new in its lane. Counts one attempt;
    /// look at [`Delivery::attempts_left`] first.
    pub async fn retry(
        &self,
        delivery: Delivery,
        after: Duration,
        failure: &Failure,
    ) -> Result<Settled, Returned> {
        let mut counters = delivery.counters();
        counters.attempts = counters.attempts.saturating_add(1);
        self.count_and_delay(delivery, counters, after, failure).await
    }

    /// The entry ended a process that was not this one, while it ran there by itself: a child that tried it first. It comes
    /// back after `after`, alone. Counts one crash; look at [`Delivery::counters`] first.
    pub async fn crashed(
        &self,
        delivery: Delivery,
        after: Duration,
        failure: &Failure,
    ) -> Result<Settled, Returned> {
        let mut counters = delivery.counters();
        counters.crashes = counters.crashes.saturating_add(1);
        self.count_and_delay(delivery, counters, after, failure).await
    }

    async fn count_and_delay(
        &self,
        delivery: Delivery,
        counters: Counters,
        after: Duration,
        failure: &Failure,
    ) -> Result<Settled, Returned> {
        let mut history = delivery.history().to_vec();
        record::remember(&mut history, SystemClock.now_ms(), self.0.name.as_str(), failure);
        let tail = record::tail(counters, &history);
        let delay = Move { doing: "put an entry off", script: &SCRIPTS.delay, rings: false, removes: false };
        let settled = self
            .settle(delay, vec![delivery], |script, _| {
                script.arg(millis(after)).arg(&tail);
            })
            .await?;
        Ok(settled.first().copied().unwrap_or(Settled::LostLease))
    }

    /// Puts entries off without counting anything: what they wait for is no fault of theirs.
    pub async fn delay_uncounted(
        &self,
        batch: Vec<Delivery>,
        after: Duration,
    ) -> Result<Vec<Settled>, Returned> {
        let delay = Move { doing: "put entries off", script: &SCRIPTS.delay, rings: false, removes: false };
        self.settle(delay, batch, |script, _| {
            script.arg(millis(after)).arg("");
        })
        .await
    }

    /// Moves entries to the index of dead letters. **The caller has written them to PostgreSQL before**, raw mail and
    /// all: here they leave Redis.
    pub async fn dead_letter(&self, batch: Vec<(Delivery, String)>) -> Result<Vec<Settled>, Returned> {
        let (batch, reasons): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
        let dead_letter =
            Move { doing: "dead-letter entries", script: &SCRIPTS.dead_letter, rings: false, removes: true };
        self.settle(dead_letter, batch, |script, index| {
            script.arg(reasons.get(index).map_or("", String::as_str));
        })
        .await
    }

    /// Gives entries back, to be run next elsewhere: what a stopping worker does with what it has not finished. Counts a
    /// drain, which is free.
    pub async fn hand_back(&self, batch: Vec<Delivery>) -> Result<Vec<Settled>, Returned> {
        let hand_back =
            Move { doing: "hand entries back", script: &SCRIPTS.hand_back, rings: true, removes: false };
        self.settle(hand_back, batch, |_, _| {}).await
    }

    /// Says good-bye: hands back everything that is held and takes the name off the group, unless something is still
    /// pending under it. Claims return nothing from here on, and deliveries that still exist have lost their leases.
    pub async fn leave(&self) -> Result<()> {
        self.0.left.store(true, Ordering::Release);
        let _taking = self.0.taking.lock().await;
        let queue = &self.0.queue;
        for (partition, keys) in (0u16..).zip(queue.partitions()) {
            let mut script = script(&SCRIPTS.leave, keys);
            script.arg(self.0.name.as_str()).arg(&keys.bell);
            for Holding { key, job, .. } in self.0.held.snapshot(partition) {
                script
                    .arg(lane_number(key.lane))
                    .arg(key.id)
                    .arg(job.as_ref().map_or("", |job| job.as_str()));
            }
            let remaining: i64 = queue.link().run("leave the group", &script).await?;
            if remaining > 0 {
                tracing::warn!(
                    partition,
                    "entries are still pending under this consumer's name; they are reclaimed"
                );
            }
        }
        self.0.held.lose_all();
        Ok(())
    }

    /// Runs a settling script over a batch, by partition and in chunks. `extra` adds what the script wants for an entry
    /// besides lane, entry id and job id. Redis is not asked about deliveries that are known to be lost: their entries may
    /// be this consumer's again, as other deliveries.
    async fn settle(
        &self,
        Move { doing, script: lua, rings, removes }: Move,
        batch: Vec<Delivery>,
        extra: impl Fn(&mut ScriptInvocation<'_>, usize),
    ) -> Result<Vec<Settled>, Returned> {
        let mut results = vec![Settled::LostLease; batch.len()];
        let mut open: Vec<Option<Delivery>> = batch.into_iter().map(Some).collect();
        for (partition, lane, indices) in chunks(&open, removes) {
            let keys = self.0.queue.keys(partition);
            let mut script = script(lua, keys);
            let held = indices.iter().filter_map(|&index| Some((index, open.get(index)?.as_ref()?)));
            let sent: Vec<(usize, &Delivery)> =
                held.filter(|(_, delivery)| delivery.lease().set_settling(true)).collect();
            if removes {
                let leaving: Vec<Leaving<'_>> = sent.iter().map(|(_, delivery)| delivery.leaving()).collect();
                columns::write(&mut script, keys, self.0.name.as_str(), lane, &leaving, |script| {
                    for (index, _) in &sent {
                        extra(script, *index);
                    }
                });
            } else {
                script.arg(self.0.name.as_str());
                if rings {
                    script.arg(&keys.bell);
                }
                for (index, delivery) in &sent {
                    script.arg(lane_number(delivery.lane()));
                    script.arg(delivery.entry_id()).arg(delivery.job_id().as_str());
                    extra(&mut script, *index);
                }
            }
            let sent: Vec<usize> = sent.into_iter().map(|(index, _)| index).collect();
            let answer = if sent.is_empty() {
                Ok(Vec::new())
            } else {
                self.0.queue.link().run::<Vec<i64>>(doing, &script).await
            };
            let replies = match answer {
                Ok(replies) if replies.len() == sent.len() => replies,
                Ok(replies) => {
                    let error = Error::Answer { doing, found: format!("{} answers", replies.len()) };
                    return Err(given_back(error, open));
                }
                Err(error) => return Err(given_back(error, open)),
            };
            for (index, _) in sent.into_iter().zip(replies).filter(|(_, reply)| *reply == 1) {
                if let Some(result) = results.get_mut(index) {
                    *result = Settled::Done;
                }
            }
            for index in indices {
                let Some(delivery) = open.get_mut(index).and_then(Option::take) else { continue };
                if results.get(index) == Some(&Settled::LostLease) && delivery.lease().tell_loss() {
                    count(&self.0.stats.leases_lost, 1);
                }
                delivery.settled();
            }
        }
        Ok(results)
    }
}

fn millis(after: Duration) -> u64 {
    u64::try_from(after.as_millis()).unwrap_or(u64::MAX)
}

/// Positions of the deliveries, by partition (and by lane as well, where that is wanted), in chunks, each with the lane of
/// its first.
fn chunks(open: &[Option<Delivery>], by_lane: bool) -> Vec<(u16, Lane, Vec<usize>)> {
    let mut chunks: Vec<(u16, Lane, Vec<usize>)> = Vec::new();
    for (index, delivery) in open.iter().enumerate() {
        let Some(delivery) = delivery else { continue };
        let (partition, lane) = (delivery.lease().key().partition, delivery.lane());
        let fits = |(of, of_lane, indices): &&mut (u16, Lane, Vec<usize>)| {
            *of == partition && (!by_lane || *of_lane == lane) && indices.len() < CHUNK
        };
        match chunks.iter_mut().rev().find(fits) {
            Some((.., indices)) => indices.push(index),
            None => chunks.push((partition, lane, vec![index])),
        }
    }
    chunks
}

fn given_back(error: Error, open: Vec<Option<Delivery>>) -> Returned {
    let rest: Vec<Delivery> = open.into_iter().flatten().collect();
    for delivery in &rest {
        delivery.lease().set_settling(false);
    }
    (error, rest)
}
