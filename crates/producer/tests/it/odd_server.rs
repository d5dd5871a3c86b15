//! A small IMAP server that does on purpose what real servers do by accident.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// What the server holds and how it misbehaves; may be changed while it runs.
#[derive(Debug, Clone, Default)]
pub struct Oddity {
    /// The mails by UID.
    pub mails: BTreeMap<u32, Vec<u8>>,
    /// `None`: EXAMINE and STATUS tell no UIDVALIDITY.
    pub uidvalidity: Option<u32>,
    /// EXAMINE and STATUS tell no UIDNEXT.
    pub without_uidnext: bool,
    /// Listed, found by SEARCH, and left out of the answer to a fetch of bodies.
    pub left_out: BTreeSet<u32>,
    /// Listed, and gone when its body is asked for.
    pub gone_at_fetch: BTreeSet<u32>,
    /// The connection is closed in the middle of this mail's body.
    pub breaks_at: BTreeSet<u32>,
}

/// The running server. Its threads end with the connections, and the listener with the test process.
pub struct OddServer {
    pub port: u16,
    pub state: Arc<Mutex<Oddity>>,
}

impl OddServer {
    pub fn start(oddity: Oddity) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(oddity));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                // A client that goes away ends its thread with an error, which is what clients do.
                thread::spawn(move || drop(serve(&stream, &state)));
            }
        });
        Self { port, state }
    }
}

fn serve(stream: &TcpStream, state: &Mutex<Oddity>) -> std::io::Result<()> {
    let (mut reader, mut out) = (BufReader::new(stream), stream);
    writeln!(out, "* OK odd server\r")?;
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let Some((tag, command)) = line.trim_end().split_once(' ') else { return Ok(()) };
        let upper = command.to_ascii_uppercase();
        let odd = state.lock().unwrap().clone();
        let mut answer = Vec::new();
        let mut closes = false;
        if upper.starts_with("CAPABILITY") {
            answer.extend(b"* CAPABILITY IMAP4rev1\r\n");
        } else if upper.starts_with("EXAMINE") {
            examine(&odd, &mut answer);
        } else if upper.starts_with("STATUS") {
            answer.extend(b"* STATUS INBOX ()\r\n");
        } else if let Some(set) = upper.strip_prefix("UID SEARCH UID ") {
            let hits: Vec<String> = selected(&odd, set).map(|uid| uid.to_string()).collect();
            answer.extend(format!("* SEARCH {}\r\n", hits.join(" ")).bytes());
        } else if let Some(rest) = upper.strip_prefix("UID FETCH ") {
            let (set, items) = rest.split_once(' ').unwrap_or((rest, ""));
            closes = fetch(&odd, set, items.contains("BODY"), &mut answer);
            if items.contains("BODY") {
                // Whoever asks again finds them gone.
                state.lock().unwrap().mails.retain(|uid, _| !odd.gone_at_fetch.contains(uid));
            }
        }
        if !closes {
            answer.extend(format!("{tag} OK done\r\n").bytes());
        }
        out.write_all(&answer)?;
        if closes || upper == "LOGOUT" {
            return stream.shutdown(std::net::Shutdown::Both);
        }
    }
}

fn examine(odd: &Oddity, answer: &mut Vec<u8>) {
    answer.extend(format!("* {} EXISTS\r\n* FLAGS (\\Seen)\r\n", odd.mails.len()).bytes());
    if let Some(uidvalidity) = odd.uidvalidity {
        answer.extend(format!("* OK [UIDVALIDITY {uidvalidity}] is\r\n").bytes());
    }
    if !odd.without_uidnext {
        let next = odd.mails.keys().last().map_or(1, |uid| uid + 1);
        answer.extend(format!("* OK [UIDNEXT {next}] is\r\n").bytes());
    }
}

/// Writes the answer to a fetch; true when the connection is to be closed after it.
fn fetch(odd: &Oddity, set: &str, bodies: bool, answer: &mut Vec<u8>) -> bool {
    for (number, uid) in (1..).zip(selected(odd, set)) {
        let mail = &odd.mails[&uid];
        let head =
            format!("* {number} FETCH (UID {uid} FLAGS () INTERNALDATE \"01-Jan-2024 10:00:00 +0000\"");
        if !bodies {
            answer.extend(format!("{head} RFC822.SIZE {})\r\n", mail.len()).bytes());
        } else if odd.breaks_at.contains(&uid) {
            answer.extend(format!("{head} BODY[] {{{}}}\r\n", mail.len()).bytes());
            answer.extend(&mail[..mail.len() / 2]);
            return true;
        } else if !odd.left_out.contains(&uid) && !odd.gone_at_fetch.contains(&uid) {
            answer.extend(format!("{head} BODY[] {{{}}}\r\n", mail.len()).bytes());
            answer.extend(mail);
            answer.extend(b")\r\n");
        }
    }
    false
}

/// The UIDs of a sequence set that are there. A `*` stands for the highest, also in a range that begins above it.
fn selected<'a>(odd: &'a Oddity, set: &'a str) -> impl Iterator<Item = u32> + 'a {
    let highest = odd.mails.keys().last().copied().unwrap_or(0);
    let number = move |text: &str| if text == "*" { highest } else { text.parse().unwrap_or(0) };
    let ranges: Vec<(u32, u32)> = set
        .split(',')
        .map(|part| {
            let (from, to) = part.split_once(':').unwrap_or((part, part));
            let (from, to) = (number(from), number(to));
            (from.min(to), from.max(to))
        })
        .collect();
    odd.mails.keys().copied().filter(move |uid| ranges.iter().any(|(from, to)| (from..=to).contains(&uid)))
}
