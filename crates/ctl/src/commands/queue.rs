//! `mailfleet queue`: what is waiting, and how it is held back or emptied.

mod control;
mod depth;
mod drain;

use chrono::DateTime;
use clap::{Subcommand, ValueEnum};
use mailfleet_queue::{Pause, Queue, Queues};
use mailfleet_store::Actor;
use serde_json::{Value, json};

use crate::commands::dead;
use crate::context::Context;
use crate::failure::Exit;
use crate::text;

pub(super) use control::closed_line;
pub use depth::print;
pub(super) use depth::words as refusal_words;

/// The queues between producer and consumers: of mails, and of what webhooks brought
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Depth(depth::Args),
    Pause(control::PauseArgs),
    Resume(control::ResumeArgs),
    Drain(drain::Args),
}

/// Which of the queues; without one, both.
#[derive(Debug, clap::Args)]
struct Which {
    /// The queue; without it, both
    #[arg(long, value_name = "QUEUE")]
    queue: Option<Kind>,
}

/// A word on queues that others will find, and who says it.
#[derive(Debug, clap::Args)]
struct Said {
    #[command(flatten)]
    which: Which,
    /// Why, for those who find it so
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    reason: String,
    /// Who asks for it; the user of the operating system is noted in any case
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

impl Said {
    /// Who runs this command, in one word.
    fn who(&self) -> String {
        let Actor { os_user, host, by } = dead::actor(self.by.as_deref());
        let user = format!("{os_user}@{host}");
        by.map_or_else(|| user.clone(), |by| format!("{by} ({user})"))
    }
}

/// What is in a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    /// What came into the mailboxes
    Mails,
    /// What webhooks brought
    Events,
}

impl Kind {
    pub(super) const ALL: [Self; 2] = [Self::Mails, Self::Events];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Mails => "mails",
            Self::Events => "events",
        }
    }

    pub(super) const fn of(self, queues: &Queues) -> &Queue {
        match self {
            Self::Mails => &queues.mails,
            Self::Events => &queues.events,
        }
    }
}

impl Which {
    fn kinds(&self) -> impl Iterator<Item = Kind> {
        let wanted = self.queue;
        Kind::ALL.into_iter().filter(move |kind| wanted.is_none_or(|wanted| wanted == *kind))
    }
}

/// Runs a `queue` command.
pub async fn run(context: &Context, args: &Args) -> anyhow::Result<Exit> {
    match &args.command {
        Command::Depth(args) => depth::run(context, args).await,
        Command::Pause(args) => control::pause(context, args).await,
        Command::Resume(args) => control::resume(context, args).await,
        Command::Drain(args) => drain::run(context, args).await,
    }
}

/// Since when, by whom and why something is paused, for people.
pub(super) fn since(pause: &Pause) -> String {
    let at = pause.at_ms.map_or_else(|| "a time that is not known".to_owned(), time);
    let by = pause.by.as_deref().unwrap_or("somebody");
    let reason = pause.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
    text::cut(&format!("since {at} by {by}{reason}"), 300)
}

/// A pause as one object; null where there is none.
pub fn pause_json(pause: Option<&Pause>) -> Value {
    pause.map_or(Value::Null, |Pause { by, at_ms, reason }| {
        let at = at_ms.and_then(DateTime::from_timestamp_millis).map(text::json_time);
        json!({ "by": by, "at": at, "reason": reason })
    })
}

/// A time of Redis.
pub(super) fn time(ms: i64) -> String {
    DateTime::from_timestamp_millis(ms).map_or_else(|| ms.to_string(), text::time)
}
