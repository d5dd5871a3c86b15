//! Entries that name no job: written by hand, or by another program into our streams.
//!
//! They cannot be delivered, since nobody could say what is to be done. They are held like deliveries until whoever claims
//! has written them down where it is safe, and only then leave Redis.

use std::fmt;
use std::mem;
use std::sync::PoisonError;
use std::time::Instant;

use mailfleet_model::{JobId, Lane};

use crate::consumer::{Consumer, count};
use crate::error::{Error, Result};
use crate::held::Lease;
use crate::keys::lane_number;
use crate::queue::script;
use crate::scripts::SCRIPTS;

/// Held at most by one consumer; more are let go, and come again after a lease.
const HELD_MAX: usize = 1_000;

/// An entry without a job id. While it exists its lease is kept alive; dropped it comes again after that, here or elsewhere.
#[must_use = "an entry that is not put away comes again after its lease"]
pub struct Stray {
    lease: Lease,
    name: JobId,
    fields: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Stray {
    /// The name under which it is kept, the same whoever finds it and however often.
    #[must_use]
    pub const fn name(&self) -> &JobId {
        &self.name
    }

    /// The lane it stands in.
    #[must_use]
    pub const fn lane(&self) -> Lane {
        self.lease.key().lane
    }

    /// All names and values, in their order.
    #[must_use]
    pub fn fields(&self) -> &[(Vec<u8>, Vec<u8>)] {
        &self.fields
    }
}

impl fmt::Debug for Stray {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never what stands in it.
        f.debug_struct("Stray").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Consumer {
    /// The entries without a job id that claims, adoptions and reclaims have met since the last call. Ask after each of them.
    pub fn take_strays(&self) -> Vec<Stray> {
        mem::take(&mut self.0.strays.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes such entries out of Redis. **The caller has written them to PostgreSQL before.** After an error they are still
    /// held, to be put away again.
    pub async fn put_away(&self, strays: Vec<Stray>) -> Result<(), (Error, Vec<Stray>)> {
        let mut rest = strays;
        while let Some(partition) = rest.first().map(|stray| stray.lease.key().partition) {
            let (ours, others): (Vec<_>, Vec<_>) =
                rest.into_iter().partition(|stray| stray.lease.key().partition == partition);
            let mut script = script(&SCRIPTS.quarantine, self.0.queue.keys(partition));
            script.arg(self.0.name.as_str());
            // Of a lost one Redis is not asked: its entry may be this consumer's again, as another stray.
            for Stray { lease, .. } in ours.iter().filter(|stray| stray.lease.set_settling(true)) {
                script.arg(lane_number(lease.key().lane)).arg(&lease.key().id);
            }
            let gone =
                match self.0.queue.link().run::<usize>("put entries without a job id away", &script).await {
                    Ok(gone) => gone,
                    Err(error) => {
                        for stray in &ours {
                            stray.lease.set_settling(false);
                        }
                        return Err((error, ours.into_iter().chain(others).collect()));
                    }
                };
            count(&self.0.stats.quarantined, gone);
            if gone > 0
                && let Some(held_back) = self.0.gate.pass(Instant::now())
            {
                let queue = &self.0.queue.config().queue;
                tracing::error!(
                    entries = gone,
                    held_back,
                    queue,
                    "entries without a job id stood in the queue; find out who writes them"
                );
            }
            for stray in ours {
                stray.lease.settled();
            }
            rest = others;
        }
        Ok(())
    }

    /// Keeps what was found without a job id for whoever asks.
    pub(crate) fn found_stray(&self, mut lease: Lease, fields: Vec<(Vec<u8>, Vec<u8>)>) {
        let key = lease.key();
        let name = JobId::unnamed(&self.0.queue.config().queue, key.partition, key.lane, &key.id);
        lease.hand_out();
        let stray = Stray { lease, name, fields };
        let mut strays = self.0.strays.lock().unwrap_or_else(PoisonError::into_inner);
        if strays.len() < HELD_MAX {
            strays.push(stray);
        }
    }
}
