//! Claiming: taking entries by lane, and taking in again what was claimed without our knowing.

use std::sync::PoisonError;
use std::time::Instant;

use redis::Value;

use crate::consumer::{Consumer, count};
use crate::delivery::Delivery;
use crate::error::{Error, Result};
use crate::fresh::Grant;
use crate::pool::breaks;
use crate::queue::script;
use crate::reply;
use crate::room::Bytes;
use crate::scripts::SCRIPTS;

/// One claim takes no more entries than this, whatever is asked: Redis does nothing else while the script runs.
const CLAIM_MAX: usize = 500;
/// Due retries made ripe by one claim, so that many falling due together do not hold Redis up.
const PROMOTE_MAX: usize = 200;

/// A claim that came too late for all that it was granted tries again, in all so often: something else may be there.
const TRIES: usize = 3;

/// What a claim may still take.
struct Room {
    quotas: [u32; 3],
    bytes: u64,
    /// Others were faster: what was granted was gone when it was read.
    was_late: bool,
    /// Partitions that refused, which are not asked again; what was taken there may be ours without our knowing.
    refused: Vec<u16>,
    /// Why the first part of the claim failed that did.
    failed: Option<Error>,
}

impl Room {
    fn entries(&self) -> u32 {
        self.quotas.iter().sum()
    }
}

impl Consumer {
    /// Takes up to `max` entries (at most 500) without waiting. The lanes share by their weights, unused shares go to
    /// the most urgent lane that has something; within a lane what was handed back or fell due goes first. Bounded by
    /// `max_claim_bytes` of raw mail as well. At most one of the deliveries is to be run alone.
    ///
    /// After an error, and after its future was dropped, the next claim first takes in what this one may have taken.
    pub async fn claim(&self, max: usize) -> Result<Vec<Delivery>> {
        let max = max.min(CLAIM_MAX);
        if max == 0 {
            return Ok(Vec::new());
        }
        let Some(_taking) = self.turn_to_take().await else { return Ok(Vec::new()) };
        if self.0.held.adopt_due() {
            match self.adopt_up_to(max).await {
                Ok(adopted) if adopted.is_empty() => {}
                Ok(adopted) => return Ok(Delivery::hand_out(adopted)),
                // The others' entries do not wait for it; it is asked again by the claim, which tells of it.
                Err(error) if self.0.queue.config().partitions > 1 && is_refusal(&error) => {}
                Err(error) => return Err(error),
            }
        }
        // An adoption may have given no delivery and left some entries to the next one.
        let is_more_to_adopt = self.0.held.adopt_due();
        // Until the answer is in our hands, entries may be ours without our knowing.
        self.0.held.set_adopt_due(true);
        let (deliveries, in_doubt) = self.claim_by_quota(max).await?;
        self.0.held.set_adopt_due(is_more_to_adopt || in_doubt);
        Ok(Delivery::hand_out(deliveries))
    }

    /// What was claimed, and whether more may be ours without our knowing.
    async fn claim_by_quota(&self, max: usize) -> Result<(Vec<Delivery>, bool)> {
        let config = self.0.queue.config();
        let wanted = u32::try_from(max).unwrap_or(u32::MAX);
        let turns = || self.0.turns.lock().unwrap_or_else(PoisonError::into_inner);
        let (quotas, first) = turns().next(config.weights, config.partitions, wanted);
        let bytes = config.max_claim_bytes;
        let mut room = Room { quotas, bytes, was_late: false, refused: Vec::new(), failed: None };
        if config.partitions == 1 {
            for _ in 0..TRIES {
                let deliveries = self.claim_from(0, &mut room, true).await?;
                if !deliveries.is_empty() || !room.was_late {
                    return Ok((deliveries, false));
                }
            }
            return Ok((Vec::new(), false));
        }
        // Lanes before partitions: every partition is asked for the lanes' own shares before any lane may use another's.
        let partitions: Vec<u16> = (first..config.partitions).chain(0..first).collect();
        let mut deliveries = Vec::new();
        for &partition in &partitions {
            self.claim_more(partition, &mut room, &mut deliveries).await?;
        }
        let spare = room.entries();
        room.quotas = [spare, 0, 0];
        for lane in 0..3 {
            for &partition in &partitions {
                self.claim_more(partition, &mut room, &mut deliveries).await?;
            }
            // What this lane did not need is the next one's.
            if lane < 2 {
                room.quotas.swap(lane, lane + 1);
            }
        }
        match room.failed {
            Some(error) if deliveries.is_empty() => Err(error),
            failed => Ok((deliveries, failed.is_some())),
        }
    }

    /// Claims from one more partition. An error is only one when nothing is taken from any: deliveries in hand are not
    /// thrown away for it, and the next claim takes in what this one may have taken, or meets the same trouble. What refuses
    /// keeps no other partition's entries waiting; what does not answer ends the claim, since more of it may not either.
    async fn claim_more(
        &self,
        partition: u16,
        room: &mut Room,
        deliveries: &mut Vec<Delivery>,
    ) -> Result<()> {
        if room.entries() == 0 || room.bytes == 0 || room.refused.contains(&partition) {
            return Ok(());
        }
        match self.claim_from(partition, room, false).await {
            Ok(more) => deliveries.extend(more),
            Err(error) if deliveries.is_empty() && !is_refusal(&error) => return Err(error),
            Err(error) => {
                tracing::debug!(%error, partition, "one partition could not be claimed from");
                if is_refusal(&error) {
                    room.refused.push(partition);
                } else {
                    (room.quotas, room.bytes) = ([0; 3], 0);
                }
                room.failed.get_or_insert(error);
            }
        }
        Ok(())
    }

    async fn claim_from(&self, partition: u16, room: &mut Room, share: bool) -> Result<Vec<Delivery>> {
        const DOING: &str = "claim";
        let mut script = script(&SCRIPTS.claim, self.0.queue.keys(partition));
        script.arg(self.0.name.as_str());
        for quota in room.quotas {
            script.arg(quota);
        }
        script.arg(u8::from(share)).arg(room.bytes).arg(self.0.held.alone_left()).arg(PROMOTE_MAX);
        let (mut rows, grant, vanished) = Grant::of(self.0.queue.link().run(DOING, &script).await?)?;
        self.have_vanished(vanished);
        let mut bytes = Bytes::new(room.bytes, room.quotas);
        for row in &rows {
            bytes.take(row);
        }
        if !grant.is_nothing() {
            rows.extend(self.read_new(partition, &grant, &mut bytes).await?);
        }
        room.was_late = rows.is_empty() && !grant.is_nothing();
        for row in &rows {
            if let Some(quota) = room.quotas.get_mut(row.lane.index()) {
                *quota = quota.saturating_sub(1);
            }
        }
        let deliveries = self.open(partition, rows).await?;
        room.bytes = room.bytes.saturating_sub(raw_bytes(&deliveries));
        Ok(deliveries)
    }

    /// Takes in what is pending under this consumer's name without being held: claims whose answers were lost. Free of
    /// charge. Claims do so by themselves after trouble.
    pub async fn adopt(&self) -> Result<Vec<Delivery>> {
        let Some(_taking) = self.turn_to_take().await else { return Ok(Vec::new()) };
        self.adopt_up_to(CLAIM_MAX).await.map(Delivery::hand_out)
    }

    /// For whoever has the turn to take.
    async fn adopt_up_to(&self, max: usize) -> Result<Vec<Delivery>> {
        self.0.held.set_adopt_due(true);
        let queue = &self.0.queue;
        let (mut deliveries, mut more, mut failed) = (Vec::new(), false, None);
        let mut bytes = queue.config().max_claim_bytes;
        for partition in 0..queue.config().partitions {
            let room = max.saturating_sub(deliveries.len());
            match self.adopt_from(partition, room, bytes).await {
                Ok((adopted, unfinished)) => {
                    more |= unfinished;
                    bytes = bytes.saturating_sub(raw_bytes(&adopted));
                    deliveries.extend(adopted);
                }
                // The rest of the partitions would only wait as long for the same answer.
                Err(error) if error.is_outage() && !is_refusal(&error) => {
                    failed.get_or_insert(error);
                    break;
                }
                Err(error) => {
                    failed.get_or_insert(error);
                }
            }
        }
        if let Some(error) = failed {
            // What is in hand is not thrown away for it: dropped, it would run alone, after a lease.
            if deliveries.is_empty() {
                return Err(error);
            }
            tracing::debug!(%error, "one partition could not be adopted from");
            more = true;
        }
        self.0.held.set_adopt_due(more);
        count(&self.0.stats.adopted, deliveries.len());
        let told = !deliveries.is_empty();
        if let Some(held_back) = told.then(|| self.0.gate.pass(Instant::now())).flatten() {
            tracing::info!(
                entries = deliveries.len(),
                held_back,
                "entries whose claim was not answered were taken in again"
            );
        }
        Ok(deliveries)
    }

    /// Adopts from one partition; true where there may be more.
    async fn adopt_from(&self, partition: u16, room: usize, bytes: u64) -> Result<(Vec<Delivery>, bool)> {
        const DOING: &str = "adopt own entries";
        let (queue, held) = (&self.0.queue, &self.0.held);
        let known = held.known_members(partition);
        let mut script = script(&SCRIPTS.adopt, queue.keys(partition));
        script.arg(self.0.name.as_str()).arg(room).arg(bytes);
        script.arg(held.alone_left()).arg(known.len()).arg(known);
        let answer: Value = queue.link().run(DOING, &script).await?;
        let odd = |_| Error::Answer { doing: DOING, found: "not three parts".to_owned() };
        let [unfinished, rows, vanished]: [Value; 3] =
            reply::array(DOING, answer)?.try_into().map_err(odd)?;
        self.have_vanished(reply::count(DOING, &vanished)?);
        let more = reply::number(DOING, &unfinished)? == 1;
        Ok((self.open(partition, reply::rows(DOING, rows)?).await?, more))
    }
}

/// Whether a server that is there refused something, which says nothing of other partitions: the slot of one may be on its
/// way, or somebody else uses its keys.
pub(crate) fn is_refusal(error: &Error) -> bool {
    matches!(error, Error::Redis { said, .. } if !breaks(said))
}

/// The raw mail of these deliveries.
pub(crate) fn raw_bytes(deliveries: &[Delivery]) -> u64 {
    deliveries.iter().map(|delivery| delivery.raw().len() as u64).sum()
}
