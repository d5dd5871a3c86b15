//! What the queue knows of a job, and of a job that is not in it whether it may come in.

use mailfleet_model::{JobId, Work};
use mailfleet_queue::{Location, Queues};
use mailfleet_store::{Explain, Explained};
use serde_json::{Value, json};

use super::{Args, asked, door::Look, place};
use crate::commands::queue::Kind;
use crate::failure;

/// What the queue says.
#[derive(Debug)]
pub(super) enum Queued {
    /// It was asked.
    Known {
        /// The jobs in it and where they are.
        places: Vec<(JobId, Location)>,
        /// For a Message-ID.
        searched: Option<Searched>,
        /// The queues in which it is, or would be.
        looks: Vec<Look>,
    },
    /// It could not be asked, which is not the same as "not in it".
    Unknown(String),
}

/// How far the queue was searched.
#[derive(Debug, Clone, Copy)]
pub(super) struct Searched {
    looked_at: usize,
    whole: bool,
}

/// Asks the queue: about the jobs that are known, and for a Message-ID about the entries that PostgreSQL does not know.
pub(super) async fn ask(queues: &Queues, args: &Args, explained: &[Explained]) -> Queued {
    match known(queues, args, explained).await {
        Ok(known) => known,
        Err(error) => Queued::Unknown(format!("Redis cannot be asked: {}", failure::one_line(&error.into()))),
    }
}

async fn known(queues: &Queues, args: &Args, explained: &[Explained]) -> mailfleet_queue::Result<Queued> {
    let mut jobs: Vec<JobId> = explained.iter().flat_map(jobs_of).collect();
    let (mut places, mut searched) = (Vec::new(), None);
    match &args.what {
        Explain::Job(job) => jobs.push(job.clone()),
        Explain::MessageId(id) => {
            let most = usize::try_from(args.search).unwrap_or(usize::MAX);
            let found = queues.mails.find_message(id, most).await?;
            searched = Some(Searched { looked_at: found.looked_at, whole: found.whole });
            places = found.jobs;
        }
        Explain::Key(_) => {}
    }
    jobs.sort();
    jobs.dedup();
    jobs.retain(|job| places.iter().all(|(found, _)| found != job));
    for job in jobs {
        if let Some(place) = queues.of_job(&job).locate(&job).await? {
            places.push((job, place));
        }
    }
    let mut looks = Vec::new();
    for kind in Kind::ALL {
        let is_asked = match &args.what {
            Explain::Job(job) => kind_of(job) == kind,
            Explain::MessageId(_) | Explain::Key(_) => kind == Kind::Mails,
        };
        if is_asked || places.iter().any(|(job, _)| kind_of(job) == kind) {
            looks.push(Look::at(kind, kind.of(queues)).await?);
        }
    }
    Ok(Queued::Known { places, searched, looks })
}

/// The queue of a job.
fn kind_of(job: &JobId) -> Kind {
    match job.work() {
        Some(Work::Events { .. }) => Kind::Events,
        Some(Work::Mail(_)) | None => Kind::Mails,
    }
}

fn jobs_of(explained: &Explained) -> impl Iterator<Item = JobId> + '_ {
    let letters = explained.dead_letter.iter().map(|letter| letter.job.clone());
    explained.ledger.iter().map(|entry| entry.job.clone()).chain(letters)
}

impl Queued {
    pub(super) fn places(&self) -> &[(JobId, Location)] {
        match self {
            Self::Known { places, .. } => places,
            Self::Unknown(_) => &[],
        }
    }

    fn looks(&self) -> &[Look] {
        match self {
            Self::Known { looks, .. } => looks,
            Self::Unknown(_) => &[],
        }
    }

    /// Where its jobs are and why they do not run, for people: each line with its label.
    pub(super) fn lines(&self, now_ms: i64) -> Vec<(&'static str, String)> {
        let mut lines = Vec::new();
        for (job, location) in self.places() {
            lines.push(("queue", format!("{job} {}", place::line(location))));
            if let Some(look) = self.looks().iter().find(|look| look.kind == kind_of(job)) {
                lines.extend(place::why(location, look, now_ms).map(|why| ("", why)));
            }
            lines.extend(place::attempts(location).map(|attempt| ("attempt", attempt)));
        }
        lines
    }

    /// In words, where nothing of it was found.
    pub(super) fn absent(&self, what: &Explain) -> String {
        match self {
            Self::Known { searched: None, .. } if matches!(what, Explain::Key(_)) => {
                "no job of this key is known; asked for its Message-ID, the queue is searched".to_owned()
            }
            Self::Unknown(why) => format!("not known, {why}"),
            Self::Known { searched: None, .. } => "no job of it is there".to_owned(),
            Self::Known { searched: Some(Searched { looked_at: 0, whole: true }), .. } => {
                "not in it, it is empty".to_owned()
            }
            Self::Known { searched: Some(Searched { looked_at, whole: true }), .. } => {
                format!("not in it, all {looked_at} entries were looked at")
            }
            Self::Known { searched: Some(Searched { looked_at, whole: false }), .. } => {
                format!(
                    "not among the {looked_at} entries looked at, and there are more (--search looks at more)"
                )
            }
        }
    }

    /// What keeps it from coming in, for people; nothing where the doors are open.
    pub(super) fn kept_out(&self) -> Vec<String> {
        self.looks().iter().flat_map(Look::shut).collect()
    }

    /// The places; null where they are not known.
    pub(super) fn places_json(&self) -> Value {
        match self {
            Self::Known { places, .. } => {
                places.iter().map(|(job, location)| place::to_json(job, location)).collect()
            }
            Self::Unknown(_) => Value::Null,
        }
    }

    /// The doors of the queues; null where they are not known.
    pub(super) fn doors_json(&self) -> Value {
        match self {
            Self::Known { looks, .. } => looks.iter().map(Look::to_json).collect(),
            Self::Unknown(_) => Value::Null,
        }
    }

    pub(super) fn search_json(&self) -> Value {
        match self {
            Self::Known { searched: None, .. } => Value::Null,
            Self::Known { searched: Some(Searched { looked_at, whole }), .. } => {
                json!({ "looked_at": looked_at, "whole": whole })
            }
            Self::Unknown(why) => json!({ "error": why }),
        }
    }
}

/// The error where neither PostgreSQL nor the queue has anything of it; `hint` is what to do next.
pub(super) fn unknown(what: &Explain, is_none: &str, queued: &Queued, hint: &str) -> anyhow::Error {
    let hint = if matches!(queued, Queued::Known { .. }) { hint } else { "" };
    let of_it = format!("{} {is_none}; the queue: {}", asked(what), queued.absent(what));
    let said: Vec<String> = std::iter::once(of_it).chain(queued.kept_out()).collect();
    anyhow::anyhow!("{}{hint}", said.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn not_in_the_queue_is_said_only_where_the_whole_queue_was_looked_at() {
        let known = |looked_at, whole| Queued::Known {
            places: Vec::new(),
            searched: Some(Searched { looked_at, whole }),
            looks: Vec::new(),
        };
        let id = Explain::MessageId("a@b".to_owned());
        assert!(known(7, true).absent(&id).starts_with("not in it, all 7"));
        assert!(known(7, false).absent(&id).starts_with("not among the 7"));
        assert!(Queued::Unknown("Redis is away".to_owned()).absent(&id).starts_with("not known"));
    }
}
