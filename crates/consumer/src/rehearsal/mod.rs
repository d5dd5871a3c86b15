//! A mail that a consumer has died on is read by a child process first, with little memory and little time.
//!
//! The child does all that is pure: parse, classify, build the rows. It is this binary again, without anything of this
//! process but three pipes: no variable, no open file, no connection. Only when it ends well does the consumer do the
//! work itself; when the mail ends the child, that is the crash it would have been of the whole process.

mod child;
mod order;
mod trial;

use std::collections::HashSet;
use std::future::Future;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use mailfleet_model::{Direction, ENVELOPE_VERSION, Encoding, Envelope, InboxId, JobId, Work};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use tokio::time::timeout;

pub use self::child::perform;
use self::order::Order;

/// Exit code of a child whose mail asks for more than is allowed.
const HOSTILE: u8 = 3;
/// Exit code of a child that could not try.
const CANNOT: u8 = 4;
/// By the clock a child may take so many times its processor time: on a busy machine it gets a small share of it.
const PATIENCE: u32 = 10;
/// A child that was killed is waited for no longer than this.
const DYING: Duration = Duration::from_secs(5);
/// What is kept of the last words of a child, in bytes.
const SAID_MAX: u64 = 4_096;
/// More mails than this are not remembered as forgiven; then all are forgotten, which makes a rehearsal of theirs free.
const FORGIVEN_MAX: usize = 1_000;
/// What is told of them, in characters.
const TOLD_MAX: usize = 200;

/// How a rehearsal ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The mail can be read.
    Well,
    /// The mail ended the child, for this reason.
    Crash(String),
    /// The child could not be run, or somebody ended it: nothing is known of the mail.
    Unknown(String),
}

/// How mails are rehearsed.
#[derive(Debug)]
pub struct Rehearsal {
    program: PathBuf,
    memory: u64,
    seconds: u64,
    max_message_bytes: u64,
    /// Mails whose rehearsal was once of no use in this process.
    forgiven: Mutex<HashSet<JobId>>,
}

impl Rehearsal {
    /// With so many bytes of address space and seconds of processor time for each child.
    pub fn new(memory: u64, seconds: u64, max_message_bytes: u64) -> anyhow::Result<Self> {
        // The link is to the program that runs, even where a newer one was put in its place.
        let program = if cfg!(target_os = "linux") {
            PathBuf::from("/proc/self/exe")
        } else {
            std::env::current_exe().context("cannot find this program's own file")?
        };
        Ok(Self { program, memory, seconds, max_message_bytes, forgiven: Mutex::default() })
    }

    /// Whether a rehearsal of which nothing was learnt is free. It is once for each mail and life of this process: whoever
    /// stops a machine ends the children too, and a drain costs no mail anything. Beyond that it counts, since otherwise a
    /// mail whose children always end so would come again for ever.
    pub fn forgives(&self, job: &JobId) -> bool {
        // Nothing panics while it is locked, and the set is whole in any case.
        let mut forgiven = self.forgiven.lock().unwrap_or_else(PoisonError::into_inner);
        if forgiven.len() >= FORGIVEN_MAX {
            forgiven.clear();
        }
        forgiven.insert(job.clone())
    }

    /// Whether a child can be started and has room for anything at all, asked with a mail that has nothing in it: what is
    /// wrong with the machine or the settings must not look like the fault of a mail.
    pub async fn prove(&self) -> anyhow::Result<()> {
        let envelope = Envelope {
            v: ENVELOPE_VERSION,
            // Its entry need not be one of a mail: that is found out by the child.
            work: Work::Events { inbox: InboxId(0) },
            size: 0,
            message_id: None,
            direction: Direction::Inbound,
            flags: Vec::new(),
            internal_date_ms: None,
            enqueued_at_ms: 0,
            encoding: Encoding::Identity,
            traceparent: None,
        };
        match self.perform(&envelope, &Bytes::new()).await {
            Ending::Well => Ok(()),
            Ending::Crash(why) | Ending::Unknown(why) => anyhow::bail!(
                "a child process cannot read even an empty mail: {why}; raise `consumer.child_memory_mib` or look what keeps \
                 this program from starting itself"
            ),
        }
    }

    /// Reads one mail in a child process. Dropped half-way it kills the child.
    pub async fn perform(&self, envelope: &Envelope, raw: &Bytes) -> Ending {
        let order = Order {
            memory: self.memory,
            seconds: self.seconds,
            max_message_bytes: self.max_message_bytes,
            size: raw.len(),
            envelope: envelope.clone(),
        };
        let line = match order.line() {
            Ok(line) => line,
            Err(error) => return Ending::Unknown(format!("no order can be written: {error}")),
        };
        let mut child = match self.command().spawn() {
            Ok(child) => child,
            Err(error) => return Ending::Unknown(format!("no child can be started: {error}")),
        };
        let within = Duration::from_secs(self.seconds) * PATIENCE;
        match timeout(within, converse(&mut child, &line, raw)).await {
            Ok((Ok(status), said)) => judge(status, &said),
            Ok((Err(error), _)) => Ending::Unknown(format!("the child cannot be waited for: {error}")),
            Err(_) => {
                // Dropped it would be killed as well; waited for it leaves no trace.
                let _ = child.start_kill();
                let _ = timeout(DYING, child.wait()).await;
                Ending::Crash(format!("took longer than {} s", within.as_secs()))
            }
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg0(env!("CARGO_PKG_NAME"))
            .arg("--rehearse")
            .env_clear()
            // One heap for its two threads: each further one takes address space for itself.
            .env("MALLOC_ARENA_MAX", "1")
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // What a terminal sends to a group is for the consumer alone; it ends its children by itself.
            .process_group(0)
            .kill_on_drop(true);
        command
    }
}

/// Feeds a child, hears it out and waits for its end.
fn converse(
    child: &mut Child,
    line: &[u8],
    raw: &Bytes,
) -> impl Future<Output = (std::io::Result<ExitStatus>, Vec<u8>)> {
    let (input, output) = (child.stdin.take(), child.stderr.take());
    let feed = async move {
        let Some(mut input) = input else { return };
        // A child that has ended reads no more; its status says why.
        if input.write_all(line).await.is_ok() {
            let _ = input.write_all(raw).await;
        }
    };
    async move {
        let (status, said, ()) = tokio::join!(child.wait(), hear(output), feed);
        (status, said)
    }
}

/// The first words of a child; the rest is read and forgotten, so that it never waits for us.
async fn hear(from: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut said = Vec::new();
    if let Some(mut from) = from {
        // What cannot be read is missing in a message, nothing else.
        let _ = (&mut from).take(SAID_MAX).read_to_end(&mut said).await;
        let _ = tokio::io::copy(&mut from, &mut tokio::io::sink()).await;
    }
    said
}

/// What the end of a child says of its mail.
fn judge(status: ExitStatus, said: &[u8]) -> Ending {
    const HANGUP: i32 = 1;
    const INTERRUPT: i32 = 2;
    const KILL: i32 = 9;
    const TERMINATE: i32 = 15;
    let words = |how: String| {
        let said: String = String::from_utf8_lossy(said)
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .take(TOLD_MAX)
            .collect();
        if said.trim().is_empty() { how } else { format!("{how}: {}", said.trim()) }
    };
    match (status.code(), status.signal()) {
        (Some(0), _) => Ending::Well,
        (Some(code), _) if code == i32::from(CANNOT) => {
            Ending::Unknown(words("the child could not try".to_owned()))
        }
        (Some(code), _) if code == i32::from(HOSTILE) => Ending::Crash(words("a limit was met".to_owned())),
        // Somebody wants all of them to end, which is not the mail's doing. SIGKILL is the kernel's as a rule, where memory
        // ran out for everybody: the child goes first whoever took it (see `child.rs`), and has not met its own limit,
        // which ends it by an abort; nor is it that of the processor time, which is another signal.
        (_, Some(signal @ (HANGUP | INTERRUPT | KILL | TERMINATE))) => {
            Ending::Unknown(words(format!("the child was ended by signal {signal}{}", name(signal))))
        }
        (_, Some(signal)) => Ending::Crash(words(format!("ended by signal {signal}{}", name(signal)))),
        (_, None) => Ending::Crash(words(format!("ended with {status}"))),
    }
}

/// What the signals that limits send mean, by their numbers on Linux.
fn name(signal: i32) -> &'static str {
    match signal {
        6 => " (aborted: out of memory, as a rule)",
        9 => " (killed: the machine or container is out of memory, as a rule)",
        11 => " (stack or memory overrun)",
        24 => " (too much processor time)",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crash(status: ExitStatus, said: &str) -> String {
        match judge(status, said.as_bytes()) {
            Ending::Crash(why) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_ends_a_child_is_told_and_only_what_the_mail_did_is_a_crash() {
        let code = |code: u8| ExitStatus::from_raw(i32::from(code) << 8);
        assert_eq!(judge(code(0), b"whatever"), Ending::Well);
        assert!(crash(code(HOSTILE), "no room\n").ends_with(": no room"));
        assert!(crash(code(101), "").contains("101"), "a panic");
        assert!(
            crash(ExitStatus::from_raw(6), "memory allocation failed")
                .contains("out of memory, as a rule): memory")
        );
        assert!(crash(ExitStatus::from_raw(24), "").contains("processor time"));
        let long = crash(ExitStatus::from_raw(11), &"\x1b[31m\n".repeat(1_000));
        assert!(long.len() < 400 && !long.contains(char::is_control), "{long:?}");
        let somebody = [1, 2, 9, 15].map(ExitStatus::from_raw);
        for status in somebody.into_iter().chain([code(CANNOT)]) {
            assert!(matches!(judge(status, b""), Ending::Unknown(_)), "{status}");
        }
        assert!(
            matches!(judge(ExitStatus::from_raw(9), b""), Ending::Unknown(why) if why.contains("out of memory"))
        );
    }

    #[test]
    fn only_the_first_rehearsal_of_a_mail_that_taught_nothing_is_free() {
        let rehearsal = Rehearsal::new(64 << 20, 1, 1 << 20).unwrap();
        let job = |row| JobId::events(InboxId(row));
        assert!(rehearsal.forgives(&job(1)) && !rehearsal.forgives(&job(1)) && rehearsal.forgives(&job(2)));
        for row in 3..5_000 {
            rehearsal.forgives(&job(row));
        }
        assert!(rehearsal.forgiven.lock().unwrap().len() <= FORGIVEN_MAX);
    }

    #[tokio::test]
    async fn a_program_that_cannot_be_started_says_nothing_about_a_mail() {
        let mut rehearsal = Rehearsal::new(64 << 20, 1, 1 << 20).unwrap();
        rehearsal.program = PathBuf::from("/no/such/program");
        let error = rehearsal.prove().await.unwrap_err().to_string();
        assert!(error.contains("no child can be started") && error.contains("child_memory_mib"), "{error}");
    }
}
