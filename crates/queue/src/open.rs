//! From taken entries to deliveries: envelopes are read, raw mail is loaded, and what cannot be delivered is moved to
//! where it belongs.

use std::time::Instant;

use bytes::Bytes;
use mailfleet_model::{Counters, ENVELOPE_VERSION, Encoding, Envelope, EnvelopeError, JobId, Lane, Work};

use crate::codec;
use crate::columns::{self, Leaving};
use crate::consumer::{Consumer, count};
use crate::delivery::{Delivery, Inner, Malformed, Standing};
use crate::error::Result;
use crate::held::{EntryKey, Lease};
use crate::keys::lane_number;
use crate::queue::script;
use crate::record::Record;
use crate::reply::Row;
use crate::scripts::SCRIPTS;

/// Blobs are fetched in groups of about this many raw bytes, so that one answer stays well within the timeout.
const GROUP_BYTES: u64 = 8 << 20;

/// From this delivery count on an entry runs alone; what the counts mean stands in `lua/prelude.lua`.
const ALONE: u64 = 2;
/// From this delivery count on it runs with nothing else of its process at work.
const SUSPECT: u64 = 3;

/// An entry on its way to becoming a delivery.
struct Opening {
    lease: Lease,
    job: JobId,
    envelope: Envelope,
    malformed: Option<Malformed>,
    record: Option<Record>,
    standing: Standing,
    exhausted: bool,
    /// A replay: its first error is its last.
    once: bool,
    body: Body,
}

enum Body {
    Here(Bytes),
    /// Beside the entry; its size before compression.
    Blob(u64),
}

/// Taken entries, by what is to become of them.
#[derive(Default)]
struct Sorted {
    good: Vec<Opening>,
    /// With their job ids, which may be of a kind that this build does not know.
    unknown_version: Vec<(Lease, Vec<u8>)>,
}

impl Consumer {
    /// Makes deliveries of entries that a script has just taken. Every entry is held from the first line on. On an
    /// error they are let go unharmed: they are still ours on the server, and the next claim adopts them.
    pub(crate) async fn open(&self, partition: u16, rows: Vec<Row>) -> Result<Vec<Delivery>> {
        let mut sorted = Sorted::default();
        for row in rows {
            self.sort(partition, row, &mut sorted);
        }
        let Sorted { good, unknown_version } = sorted;
        self.leave_to_others(partition, unknown_version).await?;
        let bodies = self.load(partition, &good).await?;
        let mut gone = Vec::new();
        let mut deliveries = Vec::with_capacity(good.len());
        for (opening, body) in good.into_iter().zip(bodies) {
            match body {
                Some(body) => deliveries.push((opening, body)),
                // What can be seen of it is worth more than nothing.
                None if opening.malformed.is_some() => deliveries.push((opening, Bytes::new())),
                None => gone.push((opening.lease, opening.job)),
            }
        }
        self.close(partition, gone).await?;
        self.unpack(deliveries).await
    }

    fn sort(&self, partition: u16, mut row: Row, into: &mut Sorted) {
        let named = row.get(b"j").unwrap_or_default().to_vec();
        let job = std::str::from_utf8(&named).ok().and_then(|job| JobId::parse(job).ok());
        let record =
            Record::parse(&row.record).filter(|record| !record.dead && record.entry_id == row.entry_id);
        let crashes = record.as_ref().map_or(0, |record| record.counters.crashes);
        let exhausted = row.exhausted || crashes >= self.0.queue.config().max_crashes;
        let standing = match row.deliveries {
            ..ALONE => Standing::Clear,
            ALONE..SUSPECT if crashes == 0 => Standing::Alone,
            _ => Standing::Suspect,
        };
        let key = EntryKey { partition, lane: row.lane, id: row.entry_id.clone() };
        let work = job.as_ref().and_then(JobId::work);
        // What is no job is not run.
        let alone = standing > Standing::Clear && !exhausted && work.is_some();
        let lease = Lease::open(&self.0.held, key, job.clone(), alone);
        let envelope = Envelope::decode(row.get(b"e").unwrap_or_default());
        if !named.is_empty() && matches!(envelope, Err(EnvelopeError::UnknownVersion { .. })) {
            into.unknown_version.push((lease, named));
            return;
        }
        let (Some(job), Some(work)) = (job, work) else {
            self.found_stray(lease, row.fields);
            return;
        };
        let once = row.get(b"once").is_some();
        let (envelope, why) = match envelope {
            Err(error) => (stand_in(work), Some(error.to_string())),
            Ok(envelope) if envelope.work != work => {
                (stand_in(work), Some(format!("an envelope of {}", envelope.job_id())))
            }
            Ok(envelope) => (envelope, None),
        };
        let body = match (row.remove(b"r"), row.get(b"b")) {
            (Some(raw), _) => Body::Here(raw.into()),
            (None, size) => {
                let size = size.and_then(|size| std::str::from_utf8(size).ok()?.parse().ok());
                Body::Blob(size.unwrap_or(0))
            }
        };
        let malformed = why.map(|why| Malformed { why, fields: std::mem::take(&mut row.fields) });
        into.good.push(Opening { lease, job, envelope, malformed, record, standing, exhausted, once, body });
    }

    /// The stored bytes of each entry; `None` where a blob is gone.
    async fn load(&self, partition: u16, openings: &[Opening]) -> Result<Vec<Option<Bytes>>> {
        let keys = self.0.queue.keys(partition);
        let mut bodies = Vec::with_capacity(openings.len());
        let mut rest = openings;
        while !rest.is_empty() {
            let mut bytes = 0;
            let fits = |opening: &&Opening| {
                let before = bytes;
                bytes += if let Body::Blob(size) = opening.body { size } else { 0 };
                before == 0 || bytes <= GROUP_BYTES
            };
            let (group, later) = rest.split_at(rest.iter().take_while(fits).count().max(1));
            let mut pipeline = redis::pipe();
            for opening in group.iter().filter(|opening| matches!(opening.body, Body::Blob(_))) {
                pipeline.get(keys.blob(&opening.job));
            }
            let blobs: Vec<Option<Vec<u8>>> = if pipeline.is_empty() {
                Vec::new()
            } else {
                self.0.queue.link().pipeline("load raw mail", keys.slot, &pipeline).await?
            };
            let mut blobs = blobs.into_iter();
            bodies.extend(group.iter().map(|opening| match &opening.body {
                Body::Here(raw) => Some(raw.clone()),
                Body::Blob(_) => blobs.next().flatten().map(Bytes::from),
            }));
            rest = later;
        }
        Ok(bodies)
    }

    async fn unpack(&self, loaded: Vec<(Opening, Bytes)>) -> Result<Vec<Delivery>> {
        let packed = loaded.iter().map(|(opening, body)| (body.clone(), encoding(opening, body))).collect();
        let raws = codec::load_all(packed).await?;
        let max_attempts = self.0.queue.config().max_attempts;
        let deliver = |((opening, stored), raw): ((Opening, Bytes), Result<Bytes>)| {
            let Opening {
                lease,
                job,
                mut envelope,
                mut malformed,
                record,
                standing,
                exhausted,
                once,
                body,
                ..
            } = opening;
            let has_blob = matches!(body, Body::Blob(_));
            let raw = raw.unwrap_or_else(|error| {
                malformed.get_or_insert_with(|| Malformed {
                    why: error.to_string(),
                    fields: vec![
                        (b"j".to_vec(), job.as_str().as_bytes().to_vec()),
                        (b"e".to_vec(), envelope.encode()),
                    ],
                });
                stored
            });
            if malformed.is_some() {
                envelope.size = raw.len() as u64;
                count(&self.0.stats.malformed, 1);
            }
            let (counters, history) =
                record.map_or((Counters::default(), Vec::new()), |record| (record.counters, record.history));
            Delivery::new(Inner {
                lease,
                job,
                envelope,
                raw,
                has_blob,
                counters,
                history,
                standing,
                exhausted,
                malformed,
                max_attempts: if once { 1 } else { max_attempts },
            })
        };
        Ok(loaded.into_iter().zip(raws).map(deliver).collect())
    }

    /// Entries whose blob is gone are closed and left to the sweep; a retry could not bring the mail back.
    async fn close(&self, partition: u16, gone: Vec<(Lease, JobId)>) -> Result<()> {
        if gone.is_empty() {
            return Ok(());
        }
        let keys = self.0.queue.keys(partition);
        for lane in Lane::ALL {
            let of_lane = gone.iter().filter(|(lease, _)| lease.key().lane == lane);
            let leaving: Vec<Leaving<'_>> = of_lane
                .map(|(lease, job)| Leaving { entry_id: &lease.key().id, job, has_blob: true })
                .collect();
            if leaving.is_empty() {
                continue;
            }
            let mut script = script(&SCRIPTS.done, keys);
            columns::write(&mut script, keys, self.0.name.as_str(), lane, &leaving, |_| {});
            let _: Vec<i64> = self.0.queue.link().run("close entries without raw mail", &script).await?;
        }
        count(&self.0.stats.blob_gone, gone.len());
        if let Some(held_back) = self.0.gate.pass(Instant::now()) {
            tracing::warn!(
                entries = gone.len(),
                held_back,
                "the raw mail of entries is gone from Redis; they are closed, and the sweep fetches their mail again"
            );
        }
        for (lease, _) in gone {
            lease.settled();
        }
        Ok(())
    }

    /// Entries of another version wait a lease, uncounted: in a roll-out a newer consumer is about to take them.
    async fn leave_to_others(&self, partition: u16, unknown: Vec<(Lease, Vec<u8>)>) -> Result<()> {
        if unknown.is_empty() {
            return Ok(());
        }
        let queue = &self.0.queue;
        let mut script = script(&SCRIPTS.delay, queue.keys(partition));
        script.arg(self.0.name.as_str());
        for (lease, job) in &unknown {
            script.arg(lane_number(lease.key().lane)).arg(&lease.key().id).arg(job);
            script.arg(queue.config().lease_ms).arg("");
        }
        let _: Vec<i64> = queue.link().run("give back entries of another version", &script).await?;
        count(&self.0.stats.unknown_version, unknown.len());
        if let Some(held_back) = self.0.gate.pass(Instant::now()) {
            tracing::warn!(
                entries = unknown.len(),
                known_version = ENVELOPE_VERSION,
                held_back,
                "entries of a version that this build does not know were given back for a lease; finish the roll-out"
            );
        }
        for (lease, _) in unknown {
            lease.settled();
        }
        Ok(())
    }
}

/// How the raw mail of an entry is kept. Where its envelope cannot be read nobody says; but no mail begins like zstd does.
fn encoding(opening: &Opening, body: &Bytes) -> Encoding {
    const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
    if opening.malformed.is_some() && body.starts_with(&ZSTD) {
        return Encoding::Zstd;
    }
    opening.envelope.encoding
}

/// What is known of a job whose envelope cannot be read: what its id says.
const fn stand_in(work: Work) -> Envelope {
    Envelope {
        v: ENVELOPE_VERSION,
        work,
        size: 0,
        message_id: None,
        direction: mailfleet_model::Direction::Inbound,
        flags: Vec::new(),
        internal_date_ms: None,
        enqueued_at_ms: 0,
        encoding: Encoding::Identity,
        traceparent: None,
    }
}
