//! Entries of the queue that name no job. Nobody can run them, and nothing is thrown away: each becomes a dead letter with
//! all that stands in it, under a name made from its place, and then leaves Redis.

use mailfleet_model::{Class, Counters, Unreadable};
use mailfleet_queue::{Attempt, Stray};
use mailfleet_runtime::Shutdown;
use mailfleet_store::NewDeadLetter;

use crate::batch::{Context, Kind};
use crate::ingest::MALFORMED;

impl<K: Kind> Context<K> {
    /// Buries what was found without a job id since the last call. PostgreSQL comes first; of what it does not take now the
    /// lease runs out, and it is found again. A stopping worker leaves it to others in the same way.
    pub async fn bury_strays(&self, shutdown: &Shutdown) {
        let strays = self.consumer.take_strays();
        if strays.is_empty() {
            return;
        }
        tokio::select! {
            biased;
            () = self.cutoff(shutdown) => {}
            () = self.bury_all(strays) => {}
        }
    }

    async fn bury_all(&self, strays: Vec<Stray>) {
        let letters: Vec<NewDeadLetter> = strays.iter().map(|stray| self.letter_of(stray)).collect();
        let written: Vec<bool> = match self.write_letters(&letters).await {
            Ok(_) => vec![true; letters.len()],
            Err(_) => {
                self.write_letters_each(&letters).await.into_iter().map(|letter| letter.is_some()).collect()
            }
        };
        // They are no mail, so they have a metric of their own: they must not look like mail that dies.
        let written = strays.into_iter().zip(written).filter(|(_, written)| *written);
        let buried: Vec<Stray> = written.map(|(stray, _)| stray).collect();
        if let (Some(first), Some(suppressed)) = (buried.first(), self.log.open()) {
            let (job, entries) = (first.name(), buried.len());
            tracing::warn!(%job, entries, reason = MALFORMED, suppressed, "dead letters of entries without a job id");
        }
        self.settler.put_away(buried).await;
    }

    fn letter_of(&self, stray: &Stray) -> NewDeadLetter {
        let (queue, lane) = (&self.consumer.queue().config().queue, stray.lane());
        let error =
            format!("an entry without a job id stood in the {lane} lane of {queue}; find out who writes it");
        let found = Attempt {
            at_ms: self.clock.now_ms(),
            worker: self.consumer.name().to_string(),
            class: Class::Fault,
            error: error.clone(),
        };
        NewDeadLetter {
            job: stray.name().clone(),
            at: None,
            lane,
            envelope_json: Unreadable::new(stray.fields()).to_json(),
            raw: None,
            reason: MALFORMED.to_owned(),
            class: Class::Fault,
            error,
            counters: Counters::default(),
            history: serde_json::json!([found]),
            tenant: None,
            account: None,
            message_id: None,
        }
    }
}
