//! `mailfleet dead show`.

use std::path::PathBuf;

use anyhow::Context as _;
use chrono::DateTime;
use mailfleet_mime::{Limits, Mail, parse};
use mailfleet_model::{JobId, Unreadable};
use mailfleet_store::{DeadLetter, Store};

use super::Owners;
use crate::context::Context;
use crate::failure::{self, Exit, Usage};
use crate::output::{self, OutputArgs};
use crate::redact::redact;
use crate::text;

/// Header fields shown, in this order. Others may carry tokens (List-Unsubscribe, signatures, tracking ids).
const SHOWN: [&str; 12] = [
    "delivered-to",
    "return-path",
    "from",
    "to",
    "cc",
    "subject",
    "date",
    "message-id",
    "in-reply-to",
    "content-type",
    "auto-submitted",
    "x-failed-recipients",
];
/// Lines of the text shown.
const PREVIEW_LINES: usize = 20;
/// Characters of one line shown.
const PREVIEW_CHARS: usize = 160;

/// Characters of a field of an entry that could not be read; all of it is in the JSON.
const FIELD_CHARS: usize = 300;

/// Show a dead letter: why, what was tried, and a preview of the mail without links, tokens and codes
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The letter's id, or its job
    #[arg(value_name = "ID|JOB")]
    letter: String,
    /// Write the raw mail into this file (readable by you alone); an existing file is left alone
    #[arg(long, value_name = "FILE")]
    raw: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
}

/// Shows one letter.
pub async fn run(context: &Context, args: &Args) -> anyhow::Result<Exit> {
    let store = context.store()?;
    let letter = find(&store, &args.letter).await?;
    let owners = Owners::read(&store).await?;
    let mailbox = mailbox(&store, &letter).await?;
    if let Some(path) = &args.raw {
        write_raw(&letter, path)?;
    }
    if args.output.json {
        let mut value = super::to_json(&letter, &owners);
        if let Some(object) = value.as_object_mut() {
            object.insert("mailbox".to_owned(), mailbox.into());
            let fields = Unreadable::read(&letter.envelope_json).map(|entry| entry.shown());
            object.insert("fields".to_owned(), serde_json::json!(fields));
            object.insert("preview".to_owned(), letter.raw.as_ref().map(|raw| preview(raw)).into());
        }
        output::json(&value)?;
        return Ok(Exit::Clean);
    }
    print(&letter, &owners, mailbox.as_deref())?;
    Ok(Exit::Clean)
}

/// The name of the folder it was in.
async fn mailbox(store: &Store, letter: &DeadLetter) -> anyhow::Result<Option<String>> {
    let Some(at) = letter.at else { return Ok(None) };
    let mut mailboxes = store.mailboxes(at.account).await?.into_iter();
    Ok(mailboxes.find(|mailbox| mailbox.id == at.mailbox).map(|mailbox| mailbox.name))
}

/// The letter with its mail, by id or job.
pub(super) async fn find(store: &Store, name: &str) -> anyhow::Result<DeadLetter> {
    let letter = if let Ok(job) = JobId::parse(name) {
        store.dead_letter_by_job(&job).await?
    } else if let Ok(id) = name.parse() {
        store.dead_letter_by_id(id).await?
    } else {
        return Err(Usage::error(format!(
            "`{name}` is neither the id nor the job of a dead letter; `mailfleet dead list`"
        )));
    };
    letter.with_context(|| {
        format!("there is no dead letter {name}; `mailfleet dead list --all` shows those there are")
    })
}

fn print(letter: &DeadLetter, owners: &Owners, mailbox: Option<&str>) -> anyhow::Result<()> {
    let field =
        |label: &str, value: &str| output::line(format_args!("{label:<10} {}", text::printable(value)));
    field("id", &letter.id.to_string())?;
    field("job", letter.job.as_str())?;
    field("state", letter.state.as_str())?;
    field("reason", &format!("{} ({})", letter.reason, letter.class))?;
    field("group", &letter.fingerprint)?;
    field("error", &letter.error)?;
    field("died", &text::time(letter.died))?;
    if letter.created != letter.died {
        let former = letter.previous.as_array().map_or(0, Vec::len) as u64;
        let former = text::count(former, "former death", "former deaths");
        field("first died", &format!("{} ({former})", text::time(letter.created)))?;
    }
    if let Some(closed) = letter.closed {
        field(letter.state.as_str(), &text::time(closed))?;
    }
    field("account", owners.account(letter).unwrap_or("unknown"))?;
    field("tenant", owners.tenant(letter).unwrap_or("unknown"))?;
    if let Some(at) = letter.at {
        let mailbox = mailbox.unwrap_or("unknown");
        field("mailbox", &format!("{mailbox}, UID {} (UIDVALIDITY {})", at.uid, at.uidvalidity))?;
    }
    field("message-id", letter.message_id.as_deref().unwrap_or("unknown"))?;
    field("lane", letter.lane.as_str())?;
    field("counted", &text::counters(letter.counters))?;
    let attempts = |history: &serde_json::Value| {
        history
            .as_array()
            .into_iter()
            .flatten()
            .try_for_each(|attempt| field("attempt", &text::cut(&attempt_line(attempt), 300)))
    };
    // The entry's own words, where they could not be read: for whoever finds out who wrote them.
    for (name, value) in
        Unreadable::read(&letter.envelope_json).map(|entry| entry.shown()).unwrap_or_default()
    {
        field("field", &text::cut(&format!("{name}: {value}"), FIELD_CHARS))?;
    }
    attempts(&letter.history)?;
    for death in letter.previous.as_array().into_iter().flatten().rev() {
        field("before", &text::cut(&death_line(death), 300))?;
        attempts(&death["history"])?;
    }
    match &letter.raw {
        None if letter.job.is_unnamed() => {
            field("mail", "none: its entry named no job, so nothing can be replayed")
        }
        None if letter.job.mail_ref().is_none() => {
            field("mail", "none: it stands for a webhook call, which is in mailfleet.webhook_inbox")
        }
        None => field("mail", "its raw bytes are not here: not at hand when it died, or stored by now"),
        Some(raw) => {
            field("mail", &text::size(raw.len() as u64))?;
            output::line(format_args!("\n{}", preview(raw)))
        }
    }
}

/// One failed attempt: when, who, why.
pub fn attempt_line(attempt: &serde_json::Value) -> String {
    let word = |name: &str| attempt[name].as_str().unwrap_or("?");
    match attempt["at_ms"].as_i64().and_then(DateTime::from_timestamp_millis) {
        Some(at) => {
            format!("{} by {}: {} ({})", text::time(at), word("worker"), word("error"), word("class"))
        }
        None => attempt.to_string(),
    }
}

/// A former death: when, why, and what was done with it then.
fn death_line(death: &serde_json::Value) -> String {
    let word = |name: &str| death[name].as_str().unwrap_or("?");
    let time = |name: &str| {
        let at = death[name].as_str().and_then(|at| DateTime::parse_from_rfc3339(at).ok());
        at.map_or_else(|| "?".to_owned(), |at| text::time(at.to_utc()))
    };
    let (died, closed) = (time("died"), time("closed"));
    format!(
        "died {died}: {} ({}), {}; {} {closed}",
        word("reason"),
        word("class"),
        word("error"),
        word("state")
    )
}

/// Some header fields and the beginning of the text, without what might be a secret.
fn preview(raw: &[u8]) -> String {
    let mail = parse(raw, &Limits::default()).mail;
    let mut lines = Vec::new();
    for name in SHOWN {
        for (_, value) in mail.headers.iter().filter(|(header, _)| header == name) {
            lines.push(format!("{name}: {}", text::cut(&header(name, value), PREVIEW_CHARS)));
        }
    }
    lines.push(String::new());
    lines.extend(body(&mail));
    lines.join("\n")
}

/// Ids are long opaque words too, and what the reader is after; the digits of a date are no code.
fn header(name: &str, value: &str) -> String {
    if matches!(name, "message-id" | "in-reply-to" | "date") { value.to_owned() } else { redact(value) }
}

fn body(mail: &Mail) -> Vec<String> {
    let content = mail.content_text();
    let mut lines = content.lines().filter(|line| !line.trim().is_empty());
    // Redacted as one text: a password may stand on the line after its name.
    let first = redact(&lines.by_ref().take(PREVIEW_LINES).collect::<Vec<_>>().join("\n"));
    let mut shown: Vec<String> =
        first.lines().map(|line| format!("| {}", text::cut(line, PREVIEW_CHARS))).collect();
    if lines.next().is_some() {
        shown.push("| …".to_owned());
    }
    for attachment in &mail.attachments {
        let name = attachment.filename.as_deref().unwrap_or("(no name)");
        let size = text::size(attachment.content.len() as u64);
        shown.push(format!("[{}, {}, {size}]", text::cut(name, 80), text::cut(&attachment.mime_type, 60)));
    }
    shown
}

fn write_raw(letter: &DeadLetter, path: &std::path::Path) -> anyhow::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;

    if path == std::path::Path::new("-") {
        return Err(Usage::error(
            "--raw wants the name of a file: standard output has the letter (./- is a file of this name)",
        ));
    }
    let raw = letter.raw.as_ref().context("this letter has no raw mail to write")?;
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("cannot create {}", path.display()))?;
    std::io::Write::write_all(&mut file, raw).with_context(|| format!("cannot write {}", path.display()))?;
    failure::note(&format!("{} bytes written to {}", raw.len(), path.display()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preview_names_the_mail_and_gives_no_secret_away() {
        let raw = b"From: Shop <shop@acme.example>\r\nTo: ann@acme.example\r\nSubject: Your code 482913\r\n\
            Message-ID: <20260801.abcdefghijklmnop1234@acme.example>\r\n\
            List-Unsubscribe: <https://acme.example/u/SECRETTOKEN>\r\nAuthorization: Bearer xyzzy\r\n\
            Date: Tue, 1 Sep 2026 10:00:00 +0000\r\n\r\n\
            Reset here: https://acme.example/reset?token=TOKEN99\r\ntoken=abc123secret\r\nYour password:\r\n\r\n\
            hunter2\r\n\x1b[31mred\r\n";
        let shown = preview(raw);
        for secret in ["482913", "SECRETTOKEN", "xyzzy", "TOKEN99", "abc123secret", "hunter2", "\u{1b}"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        for wanted in
            ["shop@acme.example", "20260801.abcdefghijklmnop1234@acme.example", "1 Sep 2026", "Reset here"]
        {
            assert!(shown.contains(wanted), "{shown}");
        }
    }
}
