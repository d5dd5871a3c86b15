//! `mailfleet parse`: what mailfleet reads out of a mail. Needs no server and no configuration.

use std::fs::File;
use std::io::{self, Read};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use mailfleet_mime::{Limits, parse};

use crate::failure::{self, Exit};
use crate::output::{self, OutputArgs};

/// Files read and printed as one step: bounds what is held in memory while later files wait for an earlier one.
const CHUNK: usize = 64;

/// Show what mailfleet reads out of mails: addresses, text, attachments, bounce, defects
///
/// Needs no server and no configuration. A mail is never too broken to be shown: what is wrong with it is listed
/// under its defects. The exit code is 1 when a file cannot be read.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    mailfleet parse bounce.eml\n  \
    mailfleet parse --json mails/*.eml | jq -r .message_type | sort | uniq -c\n  \
    mailfleet parse --display-html newsletter.eml > newsletter.html\n  \
    cat mail.eml | mailfleet parse -")]
pub struct Args {
    #[command(flatten)]
    output: OutputArgs,

    /// Print the HTML of one mail, made safe to show in a page
    #[arg(long, conflicts_with = "json")]
    display_html: bool,

    /// Mails to read, one a file; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// Prints the files in the order given; several are read at once.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let workers = std::thread::available_parallelism().map_or(1, NonZeroUsize::get).min(8);
    let shape = match (args.display_html, args.output.json) {
        (true, _) if args.files.len() > 1 => anyhow::bail!("--display-html shows one mail; name one file"),
        (true, _) => Shape::Html,
        (false, true) => Shape::Json,
        (false, false) => Shape::Summary,
    };
    let mut readable = true;
    for chunk in args.files.chunks(CHUNK) {
        for answer in read_all(chunk, workers, shape) {
            if let Some(error) = answer.error {
                readable = false;
                failure::say(&error);
            }
            if let Some(text) = answer.text {
                output::line(text)?;
            }
        }
    }
    Ok(Exit::clean_if(readable))
}

/// What is wanted of a mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Summary,
    Json,
    Html,
}

/// What is printed for one file.
#[derive(Debug, Default)]
struct Answer {
    text: Option<String>,
    error: Option<String>,
}

/// Reads a chunk of files on `workers` threads; answers in the order of the files.
fn read_all(files: &[PathBuf], workers: usize, shape: Shape) -> Vec<Answer> {
    let slots: Vec<OnceLock<Answer>> = files.iter().map(|_| OnceLock::new()).collect();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..workers.min(files.len()) {
            scope.spawn(|| {
                // Each number is drawn by one thread only, so that a slot is set once.
                while let Some((file, slot)) = {
                    let drawn = next.fetch_add(1, Ordering::Relaxed);
                    files.get(drawn).zip(slots.get(drawn))
                } {
                    let _ = slot.set(answer(file, shape));
                }
            });
        }
    });
    slots.into_iter().map(|slot| slot.into_inner().unwrap_or_default()).collect()
}

fn answer(file: &Path, shape: Shape) -> Answer {
    let limits = Limits::default();
    let name = file.to_string_lossy();
    match read(file, limits.max_raw_bytes) {
        Ok(raw) => {
            let parsed = parse(&raw, &limits);
            let text = match shape {
                Shape::Json => to_json(&name, &parsed),
                Shape::Summary => super::parse_summary::summary(&name, raw.len(), &parsed),
                Shape::Html => parsed.mail.html_for_display(),
            };
            Answer { text: Some(text), error: None }
        }
        Err(source) => {
            let error = format!("cannot read {name}: {source}");
            // A script that pairs answers with files gets one for this file too.
            let text = (shape == Shape::Json)
                .then(|| serde_json::json!({ "path": name, "error": error }).to_string());
            Answer { text, error: Some(error) }
        }
    }
}

/// Reads a file up to one byte above the limit, which is enough for the parser to see that it is too large.
fn read(file: &Path, max_raw_bytes: u64) -> io::Result<Vec<u8>> {
    let mut raw = Vec::new();
    let most = max_raw_bytes.saturating_add(1);
    if file.as_os_str() == "-" {
        io::stdin().lock().take(most).read_to_end(&mut raw)?;
    } else {
        if file.is_dir() {
            return Err(io::Error::other("it is a directory; name the files in it, such as DIR/*.eml"));
        }
        let file = File::open(file)?;
        raw.reserve(usize::try_from(file.metadata()?.len().min(most)).unwrap_or(0));
        file.take(most).read_to_end(&mut raw)?;
    }
    Ok(raw)
}

fn to_json(path: &str, parsed: &mailfleet_mime::Parsed) -> String {
    let report = mailfleet_mime::json::Report::new(path, parsed);
    serde_json::to_string(&report).unwrap_or_else(|e| {
        serde_json::json!({ "path": path, "error": format!("cannot be written as JSON: {e}") }).to_string()
    })
}
