//! The rehearsing process: narrows itself, reads one mail as the consumer would, and ends.

use std::fs;
use std::io::{self, Read as _};
use std::process::ExitCode;
use std::thread;

use bytes::Bytes;
use mailfleet_mime::Limits;
use rustix::process::{Resource, Rlimit, Signal, set_parent_process_death_signal, setrlimit};

use super::order::Order;
use super::{CANNOT, HOSTILE};
use crate::ingest::prepare;

/// As large as the stack on which the consumer itself parses, so that what overflows there overflows here.
const STACK: usize = 2 << 20;

/// Why nothing can be said of the mail, or why what is said is bad.
enum Ended {
    /// The mail asks for more than is allowed.
    Hostile(String),
    /// It could not be tried.
    Cannot(io::Error),
}

impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Self {
        Self::Cannot(error)
    }
}

/// Reads an order and its mail from standard input. Exit codes: 0 the mail can be read, [`HOSTILE`], [`CANNOT`]. A limit
/// that is met inside a library ends the process by a signal.
pub fn perform(name: &str) -> ExitCode {
    match rehearse() {
        Ok(()) => ExitCode::SUCCESS,
        Err(Ended::Hostile(why)) => mailfleet_runtime::fail(name, &why, HOSTILE),
        Err(Ended::Cannot(error)) => mailfleet_runtime::fail(name, &error, CANNOT),
    }
}

fn rehearse() -> Result<(), Ended> {
    // First of all. A consumer that died before has closed the pipe, which ends this process by itself.
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(io::Error::from)?;
    let mut input = io::stdin().lock();
    let order = Order::read(&mut input)?;
    narrow(&order)?;
    let mut raw = Vec::new();
    raw.try_reserve_exact(order.size)
        .map_err(|_| Ended::Hostile(format!("no room for a mail of {} bytes", order.size)))?;
    raw.resize(order.size, 0);
    input.read_exact(&mut raw)?;
    let (raw, envelope) = (Bytes::from(raw), order.envelope);
    let limits = Limits { max_raw_bytes: order.max_message_bytes, ..Limits::default() };
    let read = move || drop(prepare(&envelope, &raw, &limits));
    // What the parser's guard catches is a rejection, which the consumer comes to by itself.
    // Where there is no room left for its stack, the mail itself has taken it.
    let reader = thread::Builder::new().stack_size(STACK).spawn(read);
    let reader = reader.map_err(|_| Ended::Hostile("no room left to read the mail".to_owned()))?;
    reader.join().map_err(|_| Ended::Hostile("reading the mail panicked".to_owned()))
}

/// Sets the limits of this process. None of them can be widened again without a privilege that it does not use.
fn narrow(order: &Order) -> io::Result<()> {
    let limit = |most: u64, last: u64| Rlimit { current: Some(most), maximum: Some(last) };
    // What is left behind by a crash would be somebody's mail.
    setrlimit(Resource::Core, limit(0, 0))?;
    // A signal at the first, SIGKILL at the second.
    setrlimit(Resource::Cpu, limit(order.seconds, order.seconds + 1))?;
    setrlimit(Resource::As, limit(order.memory, order.memory))?;
    // Where memory runs out for all of them, this process is to go and not its consumer. Raising it needs no right; where
    // there is no such file the kernel chooses.
    let _ = fs::write("/proc/self/oom_score_adj", "1000");
    Ok(())
}
