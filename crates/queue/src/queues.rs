//! The queues of a fleet: one for each kind of work, on the same Redis. A job says itself in which one it belongs.

use mailfleet_model::{JobId, Work};

use crate::config::Config;
use crate::error::Result;
use crate::job::{Enqueued, NewJob};
use crate::queue::Queue;

/// Both queues. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Queues {
    /// Mails to be read and stored.
    pub mails: Queue,
    /// What webhooks brought, to take effect.
    pub events: Queue,
}

impl Queues {
    /// Prepares both, as [`Queue::connect`] does.
    pub fn connect(config: &Config) -> Result<Self> {
        Ok(Self { mails: Queue::connect(config)?, events: Queue::connect(&config.for_events())? })
    }

    /// The queue of a kind of work.
    #[must_use]
    pub const fn of(&self, work: Work) -> &Queue {
        match work {
            Work::Mail(_) => &self.mails,
            Work::Events { .. } => &self.events,
        }
    }

    /// The queue of a job.
    #[must_use]
    pub fn of_job(&self, job: &JobId) -> &Queue {
        // A job id that says nothing of its work does not parse; the mails' queue knows no such job.
        job.work().map_or(&self.mails, |work| self.of(work))
    }

    /// As [`Queue::live`], each job in its own queue.
    pub async fn live(&self, jobs: &[JobId]) -> Result<Vec<bool>> {
        let mut live = vec![false; jobs.len()];
        for (queue, part) in self.parts(jobs.iter().cloned(), JobId::work) {
            let (places, jobs): (Vec<usize>, Vec<JobId>) = part.into_iter().unzip();
            scatter(&mut live, places, queue.live(&jobs).await?);
        }
        Ok(live)
    }

    /// As [`Queue::replay`], each job into its own queue.
    pub async fn replay(&self, jobs: Vec<NewJob>) -> Result<Vec<Enqueued>> {
        let mut answers = vec![Enqueued::AlreadyLive; jobs.len()];
        for (queue, part) in self.parts(jobs, |job| Some(job.envelope.work)) {
            let (places, jobs): (Vec<usize>, Vec<NewJob>) = part.into_iter().unzip();
            scatter(&mut answers, places, queue.replay(jobs).await?);
        }
        Ok(answers)
    }

    /// Things with their places, by queue; a queue without any is not asked.
    fn parts<T>(
        &self,
        things: impl IntoIterator<Item = T>,
        work: impl Fn(&T) -> Option<Work>,
    ) -> impl Iterator<Item = (&Queue, Vec<(usize, T)>)> {
        let is_event = |(_, thing): &(usize, T)| matches!(work(thing), Some(Work::Events { .. }));
        let (events, mails): (Vec<_>, Vec<_>) = things.into_iter().enumerate().partition(is_event);
        [(&self.mails, mails), (&self.events, events)].into_iter().filter(|(_, part)| !part.is_empty())
    }
}

fn scatter<T>(into: &mut [T], places: Vec<usize>, answers: Vec<T>) {
    for (place, answer) in places.into_iter().zip(answers) {
        if let Some(slot) = into.get_mut(place) {
            *slot = answer;
        }
    }
}
